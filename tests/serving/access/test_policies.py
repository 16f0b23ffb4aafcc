import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serving.access.policies import allowed_patients, read_cohorts, read_policies


def patients_of(folder, text):
    (folder / "policies.yaml").write_text(text)
    return allowed_patients(folder, read_policies(folder), read_cohorts(folder))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "cohorts").mkdir()
    (tmp_path / "cohorts" / "dialysis.txt").write_text("p1\np 2\n\n")
    table = {
        "patient_id": ["p1", "p2", "p3", None],
        "ward": ["icu", "er", None, "icu"],
        "year": [2020, 2021, 2020, 2020],
        "address": [{"zip": 1}] * 4,
    }
    pq.write_table(pa.table(table), tmp_path / "patients.parquet")
    return tmp_path


@pytest.mark.parametrize(
    ("policy", "patients"),
    [
        ("{patients: all}", None),
        ("{patients: [p1, p9]}", {"p1", "p9"}),
        ("{patients: []}", set()),
        ("{cohort: dialysis}", {"p1", "p 2"}),
        ("{attribute: ward, values: [icu]}", {"p1"}),
        ("{attribute: year, values: ['2020']}", {"p1", "p3"}),
        ("{attribute: ward, values: [nowhere]}", set()),
    ],
)
def test_a_policy_is_a_set_of_patients(folder, policy, patients):
    assert patients_of(folder, f"it: {policy}") == {"it": patients}


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ("{patients: some}", "it: a policy is one of"),
        ("{}", "it: a policy is one of"),
        ("{patients: all, cohort: dialysis}", "it: a policy is one of"),
        ("{attribute: ward, values: []}", "it: a policy is one of"),
        ("{attribute: ward", "not YAML"),
        ("{cohort: nobody}", r"it: no file cohorts/nobody\.txt"),
        ("{attribute: hospital, values: [a]}", "no column patient_id or none hospital"),
        ("{attribute: address, values: [a]}", "the column address holds no plain values"),
    ],
)
def test_a_mistake_is_named_and_never_a_wider_policy(folder, policy, reason):
    with pytest.raises(ValueError, match=reason):
        patients_of(folder, f"it: {policy}")


@pytest.mark.parametrize("text", ["- it", "it"])
def test_a_file_that_names_no_policies_is_refused(folder, text):
    (folder / "policies.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"policies\.yaml: the file: a policy is one of"):
        read_policies(folder)


def test_an_attribute_needs_the_patient_table(tmp_path):
    with pytest.raises(ValueError, match=r"patients\.parquet: not there"):
        patients_of(tmp_path, "it: {attribute: ward, values: [icu]}")


def test_no_file_is_no_policy(tmp_path):
    assert allowed_patients(tmp_path, read_policies(tmp_path), read_cohorts(tmp_path)) == {}
