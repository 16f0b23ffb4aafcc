"""Ontologies in OBO text or OBO-graphs JSON, plain or gzipped, parsed by fastobo (the parser inside pronto).

Formats: https://owlcollab.github.io/oboformat/doc/obo-syntax.html and https://github.com/geneontology/obographs.
fastobo alone, without pronto on top, because a relation to a concept of another ontology is normal while an is_a
to an undefined one marks a file that was cut; pronto fails on both alike.
"""

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import fastobo

from datagen.graph.curies import normalise
from datagen.graph.source_files import FETCH_AGAIN, named_errors, read_text
from datagen.graph.tables import KnowledgeGraph

_REFERENCES_OF_TEXTS = re.compile(r'^((?:def|synonym): ".*) \[.*\]', re.MULTILINE)
"""What a definition or synonym was taken from: not read here, and where releases break the syntax (HP of 2016)."""


@dataclass
class _Term:
    id: str
    namespace: str
    name: str = ""
    synonyms: list[tuple[str, str]] = field(default_factory=list)
    parents: list[str] = field(default_factory=list)
    xrefs: list[str] = field(default_factory=list)
    relations: list[tuple[str, str]] = field(default_factory=list)
    obsolete: bool = False


def read_obo(path: Path) -> KnowledgeGraph:
    """The live terms of an ontology with synonyms, is_a, other relations and xrefs; obsolete terms are skipped.

    Alternative ids, those of terms merged into one, are xrefs too.
    The semantic type is the term's namespace where it states one, else the prefix of its id (`DOID`, `HP`).
    A synonym whose type is called abbreviation gets the scope `abbreviation`, else its own scope.
    Raises ValueError naming the file and what to do, for a file that is missing, empty, cut, or in another form.
    """
    text = read_text(path)
    is_json = text.lstrip().startswith("{")
    abbreviations = _abbreviations_of_json(path, text) if is_json else frozenset()
    terms = [_term(frame, abbreviations) for frame in _term_frames(path, text, is_json)]
    _refuse_cut(path, terms)

    live = {term.id: term for term in terms if not term.obsolete}
    obsolete = {term.id for term in terms} - live.keys()
    graph = KnowledgeGraph.from_rows(
        concepts=[(term.id, term.name, [term.namespace]) for term in live.values()],
        terms=[(t.id, synonym, "en", scope) for t in live.values() for synonym, scope in t.synonyms],
        is_a=[(term.id, parent) for term in live.values() for parent in term.parents if parent in live],
        relations=[(t.id, kind, tail) for t in live.values() for kind, tail in t.relations if tail not in obsolete],
        xrefs=[(term.id, xref) for term in live.values() for xref in term.xrefs],
    )
    normalised = KnowledgeGraph.from_columns(xrefs=(graph.xrefs["concept_id"], normalise(graph.xrefs["xref"])))
    return replace(graph, xrefs=normalised.xrefs)


def _abbreviations_of_json(path: Path, text: str) -> frozenset[str]:
    """The synonyms that the JSON marks as abbreviations; fastobo does not keep their type. Checks the outer form."""
    with named_errors(path, "JSON, but not an OBO graph; give an .obo or OBO-graphs .json file"):
        return frozenset(
            synonym["val"]
            for graph in json.loads(text)["graphs"]
            for node in graph["nodes"]
            for synonym in (node.get("meta") or {}).get("synonyms", ())
            if _is_abbreviation(synonym.get("synonymType"))
        )


def _is_abbreviation(synonym_type: object) -> bool:
    return "abbreviation" in str(synonym_type).lower()


def _term_frames(path: Path, text: str, is_json: bool) -> Iterator[fastobo.term.TermFrame]:
    load = fastobo.load_graph if is_json else fastobo.load
    try:
        document = load(io.BytesIO((text if is_json else _REFERENCES_OF_TEXTS.sub(r"\1 []", text)).encode()))
    except SyntaxError as error:
        raise ValueError(
            f"{path}: not valid OBO at line {error.lineno} ({error.msg}); it may be cut there: {FETCH_AGAIN}, "
            "or use the ontology's JSON form"
        ) from None
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic inside fastobo is no Exception
        raise ValueError(f"{path}: cannot be parsed as OBO ({error}); {FETCH_AGAIN}") from None
    return (frame for frame in document if isinstance(frame, fastobo.term.TermFrame))


def _term(frame: fastobo.term.TermFrame, abbreviations: frozenset[str]) -> _Term:
    term = _Term(str(frame.id), str(frame.id).partition(":")[0])
    for clause in frame:
        match clause:
            case fastobo.term.NameClause():
                term.name = clause.name
            case fastobo.term.NamespaceClause():
                term.namespace = str(clause.namespace)
            case fastobo.term.SynonymClause():
                synonym = clause.synonym
                short = synonym.desc in abbreviations or _is_abbreviation(synonym.type)
                term.synonyms.append((synonym.desc, "abbreviation" if short else synonym.scope.lower()))
            case fastobo.term.IsAClause():
                term.parents.append(str(clause.term))
            case fastobo.term.RelationshipClause():
                term.relations.append((str(clause.typedef), str(clause.term)))
            case fastobo.term.XrefClause():
                term.xrefs.append(str(clause.xref.id))
            case fastobo.term.AltIdClause():
                term.xrefs.append(str(clause.alt_id))
            case fastobo.term.IsObsoleteClause():
                term.obsolete = clause.obsolete
    return term


def _refuse_cut(path: Path, terms: list[_Term]) -> None:
    """A file cut at the end of a line still parses: what it lost shows in terms that others point to."""
    if not terms:
        raise ValueError(f"{path}: holds no terms; {FETCH_AGAIN}, or give an .obo or OBO-graphs .json file")
    defined = {term.id for term in terms}
    for term in terms:
        if not term.name and not term.obsolete:
            raise ValueError(f"{path}: term {term.id} has no name; the file may be cut there: {FETCH_AGAIN}")
        for parent in term.parents:
            if parent not in defined:
                raise ValueError(
                    f"{path}: {term.id} is_a {parent}, which the file does not define; the file may be cut: "
                    f"{FETCH_AGAIN}, or use a release that contains its imports"
                )
