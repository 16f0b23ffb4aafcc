import pytest

from datagen.graph.abbreviations import read_abbreviations


def rows(table):
    return sorted(tuple(row.values()) for row in table.to_pylist())


def test_the_clinical_inventory_has_a_share_as_count_among_a_million_and_sums_repeats(tmp_path):
    path = tmp_path / "clinical.csv"
    path.write_bytes(
        b"\xef\xbb\xbfshort_form,long_form,source,sense_frequency\r\nqow,every other week,notes,1\r\n"
        b"disp,dispense,notes,0.612\r\ndisp,dispense,other,0.1\r\n"
        b"MS,multiple sclerosis,wikipedia,\r\nms,ms,wikipedia,\r\n"
    )
    assert rows(read_abbreviations(path).senses) == [
        ("MS", "multiple sclerosis", 0),
        ("disp", "dispense", 712_000),
        ("qow", "every other week", 1_000_000),
    ]


def test_adam_has_a_sense_for_every_long_form_and_every_variant(tmp_path):
    path = tmp_path / "adam.tsv"
    path.write_text("# OVERVIEW\n# more\nMS\tMS:90|ms:3\tmass spectrometry:70:0.8|mass spectrometer:20:0.9\t0.9\t93\n")
    assert rows(read_abbreviations(path).senses) == [
        ("MS", "mass spectrometer", 20),
        ("MS", "mass spectrometry", 70),
        ("ms", "mass spectrometry", 3),
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("# ADAM\nMS\tMS:90\tmass spec", r"row 2 \(columns\)"),
        ("# ADAM\nMS\tMS:90\tmass spectrometry:many:0.8\t0.9\t93\n", r"row 2 \(long_forms\)"),
        ("short_form,long_form,sense_frequency\nMS,mass,inf\n", r"row 2 \(sense_frequency\)"),
        ("short_form,long_form,sense_frequency\nMS,mass,often\n", r"row 2 \(sense_frequency\)"),
        ("short,long\nMS,mass\n", "no column short_form, long_form"),
    ],
)
def test_a_damaged_inventory_is_named(tmp_path, data, message):
    path = tmp_path / "abbreviations"
    path.write_text(data)
    with pytest.raises(ValueError, match=message):
        read_abbreviations(path)
