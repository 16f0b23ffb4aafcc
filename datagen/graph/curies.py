"""Identifiers of other vocabularies, written alike: `PREFIX:local`, one prefix per vocabulary."""

import pyarrow as pa
import pyarrow.compute as pc

from datagen.graph.grouping import Column, renamed

_PREFIXES = {
    "UMLS_CUI": "UMLS", "MSH": "MESH", "MIM": "OMIM", "ORDO": "ORPHA", "ORPHANET": "ORPHA", "NCI": "NCIT",
    "NCI_THESAURUS": "NCIT", "SNOMED": "SNOMEDCT", "SNOMED_CT": "SNOMEDCT", "SNOMEDCT_US": "SNOMEDCT",
    "SCTID": "SNOMEDCT", "ICD-10-CM": "ICD10CM", "ICD-10": "ICD10", "ICD-9": "ICD9CM", "ICD9": "ICD9CM",
    "ICD-9-CM": "ICD9CM", "ICD-O": "ICDO", "HPO": "HP", "LNC": "LOINC", "MDR": "MEDDRA",
}  # fmt: skip
"""Prefixes that are written in other ways, in upper case; others stay as they are."""
_NO_CONCEPTS = ("HTTP", "HTTPS", "URL", "PMID", "DOI", "ORCID", "UMLS_ICD9CM_2005_AUI")

_RELEASE = r"_(19|20)\d\d(_\d\d_\d\d)?$"


def normalise(curies: Column) -> Column:
    """One writing for all that name the same concept; null for what is no CURIE or names no concept.

    The prefix loses its case and its release (`SNOMEDCT_US_2023_03_01`), numbers of GARD their leading zeros.
    """
    parts = pc.extract_regex(curies, r"^\s*(?P<prefix>[^:\s]+):\s*(?P<local>\S+)\s*$")
    prefix = pc.replace_substring_regex(pc.utf8_upper(pc.struct_field(parts, 0)), _RELEASE, "")
    names_a_concept = pc.invert(pc.is_in(prefix, value_set=pa.array(_NO_CONCEPTS)))
    prefix = renamed(prefix, _PREFIXES)
    local = pc.struct_field(parts, 1)
    local = pc.if_else(pc.equal(prefix, "GARD"), pc.utf8_ltrim(local, characters="0"), local)
    return pc.if_else(names_a_concept, pc.binary_join_element_wise(prefix, local, ":"), None)


def with_prefix(prefix: str, local: Column) -> Column:
    """`prefix:local` for every element."""
    return pc.binary_join_element_wise(pa.scalar(prefix), local, ":")
