"""Which patients a caller may see.

policies.yaml      name: {patients: all}, {patients: [<id>, ...]}, {cohort: <name>}
                   or {attribute: <column>, values: [<value>, ...]}
cohorts/<name>.txt patient ids, one a line
patients.parquet   patient_id and any columns that policies ask for (ward, consent, study)
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

POLICIES, COHORTS, PATIENTS = "policies.yaml", "cohorts", "patients.parquet"

Allowed = frozenset[str] | None
"""Ids of patients; None is every patient."""


class OfPatients(BaseModel):
    """Every patient, or those that are named."""

    model_config = ConfigDict(extra="forbid")

    patients: Literal["all"] | list[str]


class OfCohort(BaseModel):
    """Those of a cohort file."""

    model_config = ConfigDict(extra="forbid")

    cohort: str


class OfAttribute(BaseModel):
    """Those with one of the values in a column of the patient table."""

    model_config = ConfigDict(extra="forbid")

    attribute: str
    values: Annotated[list[str], Field(min_length=1)]


Policy = OfPatients | OfCohort | OfAttribute
_FILE = TypeAdapter(dict[str, Policy])


def read_policies(folder: Path) -> dict[str, Policy]:
    """By name; none where there is no file. Raises ValueError naming the file and the policy that is wrong."""
    path = folder / POLICIES
    if not path.exists():
        return {}
    try:
        return _FILE.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except yaml.YAMLError:
        raise ValueError(f"{path}: not YAML") from None
    except ValidationError as error:
        forms = "patients: all | [ids], cohort: name, or attribute: column with values: [...]"
        name = (*error.errors()[0]["loc"], "the file")[0]
        raise ValueError(f"{path}: {name}: a policy is one of {forms}") from None


def read_cohorts(folder: Path) -> dict[str, frozenset[str]]:
    """Patient ids by the name of their cohort."""
    files = sorted((folder / COHORTS).glob("*.txt"))
    return {file.stem: frozenset(file.read_text(encoding="utf-8").split("\n")) - {""} for file in files}


def allowed_patients(
    folder: Path, policies: Mapping[str, Policy], cohorts: Mapping[str, frozenset[str]]
) -> dict[str, Allowed]:
    """The patients of each policy. Raises ValueError naming the policy whose cohort or column is not there."""

    @cache
    def table() -> pa.Table:
        if not (folder / PATIENTS).exists():
            raise ValueError(f"{folder / PATIENTS}: not there, and a policy asks for an attribute")
        return pq.read_table(folder / PATIENTS)

    return {name: _allowed(f"{folder / POLICIES}: {name}", policy, cohorts, table) for name, policy in policies.items()}


def _allowed(
    where: str, policy: Policy, cohorts: Mapping[str, frozenset[str]], table: Callable[[], pa.Table]
) -> Allowed:
    match policy:
        case OfPatients(patients="all"):
            return None
        case OfPatients(patients=patients):
            return frozenset(patients)
        case OfCohort(cohort=cohort):
            if cohort not in cohorts:
                raise ValueError(f"{where}: no file {COHORTS}/{cohort}.txt")
            return cohorts[cohort]
        case OfAttribute(attribute=column, values=values):
            patients = table()
            if not {"patient_id", column} <= {*patients.column_names}:
                raise ValueError(f"{where}: {PATIENTS} has no column patient_id or none {column}")
            # Numbers, dates and booleans are compared as they are written.
            try:
                written = patients[column].cast(pa.string())
            except pa.ArrowNotImplementedError:
                raise ValueError(f"{where}: the column {column} holds no plain values") from None
            kept = pc.is_in(written, pa.array(values, pa.string()))
            return frozenset(patients["patient_id"].cast(pa.string()).filter(kept).to_pylist()) - {None}
