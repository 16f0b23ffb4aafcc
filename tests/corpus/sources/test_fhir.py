"""DocumentReference in bulk export's NDJSON, R4 and R5."""

import base64
import gzip
import json

import pytest

PLAIN = {"contentType": "text/plain", "data": base64.b64encode(b"Cr 1.1 -> 3.2").decode()}
DOCUMENT = {
    "resourceType": "DocumentReference",
    "id": "d1",
    "status": "current",
    "type": {"coding": [{"system": "http://loinc.org", "code": "18842-5", "display": "Discharge summary"}]},
    "subject": {"reference": "Patient/p1"},
    "date": "2020-03-01T10:00:00.123Z",
    "content": [{"attachment": PLAIN}],
    "context": {"encounter": [{"reference": "Encounter/e1"}], "period": {"start": "2020-02-01"}},
}
EXPECTED = {
    "note_id": "d1",
    "patient_id": "p1",
    "encounter_id": "e1",
    "note_type": "Discharge summary",
    "note_time": "2020-03-01T10:00:00.123Z",
    "text": "Cr 1.1 -> 3.2",
}
NOT_FOUND = ("attachment_not_found", "text")
NOT_READABLE = ("attachment_not_readable", "text")


def encoded(text, charset="utf-8"):
    return base64.b64encode(text.encode(charset)).decode()


@pytest.fixture
def read_document(write, read):
    """The note, the reason why it is bad, or why it was left out."""

    def read_document(**change):
        path = write("DocumentReference.ndjson", json.dumps({**DOCUMENT, **change}) + "\n")
        found = read(path, format="fhir")
        (row,) = [*found.notes.values(), *found.bad.values(), *found.left_out]
        return row

    return read_document


@pytest.fixture
def read_attachments(read_document):
    """The text that attachments give, or the reason why they give none."""

    def read_attachments(*attachments):
        row = read_document(content=[{"attachment": attachment} for attachment in attachments])
        return row["text"] if isinstance(row, dict) else row

    return read_attachments


def test_r4_becomes_a_note(read_document):
    assert read_document() == EXPECTED


def test_r5_becomes_the_same_note(read_document):
    context = [{"reference": "EpisodeOfCare/x"}, {"reference": "Encounter/e1"}]
    assert read_document(context=context, period={"start": "2020-02-01"}) == EXPECTED


@pytest.mark.parametrize(
    ("reference", "patient"),
    [
        ("Patient/p.1-x", "p.1-x"),
        ("https://ehr.example/fhir/r4/Patient/p1", "p1"),
        ("https://ehr.example/fhir/r4/Patient/p1/_history/3", "p1"),
        ("urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", "0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"),
        ("Group/g1", None),
        ("", None),
    ],
)
def test_references_name_patients_in_every_form(read_document, reference, patient):
    assert read_document(subject={"reference": reference})["patient_id"] == patient


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": "entered-in-error"}, "withdrawn"),
        ({"docStatus": "entered-in-error"}, "withdrawn"),
        ({"status": "superseded"}, "superseded"),
        ({"resourceType": "Patient"}, "other_resource"),
    ],
)
def test_what_is_not_wanted_is_left_out_with_a_reason(read_document, change, reason):
    assert read_document(**change) == reason


@pytest.mark.parametrize(
    ("concept", "name"),
    [
        ({"text": "Summary", "coding": [{"display": "Discharge summary"}]}, "Summary"),
        ({"coding": [{"code": "1"}, {"display": "Discharge summary"}]}, "Discharge summary"),
        ({"coding": [{"code": "18842-5"}]}, "18842-5"),
        ({}, None),
    ],
)
def test_the_type_is_named_as_a_person_would(read_document, concept, name):
    assert read_document(type=concept)["note_type"] == name


@pytest.mark.parametrize(("start", "time"), [("2020", "2020-01-01"), ("2020-05", "2020-05-01"), ("2020-05-06",) * 2])
def test_a_partial_date_is_its_first_day(read_document, start, time):
    assert read_document(date=None, context={"period": {"start": start}})["note_time"] == time


@pytest.mark.parametrize(
    ("content_type", "charset"),
    [
        ("text/plain", "utf-8"),
        ("text/plain; charset=utf-8", "utf-8-sig"),
        ("TEXT/PLAIN;charset=ISO-8859-1", "latin-1"),
        ('text/plain; charset="windows-1252"', "cp1252"),
    ],
)
def test_plain_text_is_decoded_as_it_says(read_attachments, content_type, charset):
    assert read_attachments({"contentType": content_type, "data": encoded("café", charset)}) == "café"


def test_html_becomes_text(read_attachments):
    page = (
        "<html><head><style>p {color: red}</style></head><body><p>Cr <b>1.1</b> &rarr; 3.2</p>"
        "<ul><li>AKI</li></ul><table><tr><td>Na</td><td>140</td></tr></table></body></html>"
    )
    lines = [line.split() for line in read_attachments({"contentType": "text/html", "data": encoded(page)}).split("\n")]
    assert [line for line in lines if line] == [["Cr", "1.1", "→", "3.2"], ["*", "AKI"], ["Na", "140"]]


def test_of_several_formats_plain_text_is_taken(read_attachments):
    pdf = {"contentType": "application/pdf", "url": "Binary/pdf"}
    html = {"contentType": "text/html", "data": encoded("<p>html</p>")}
    assert read_attachments(pdf, html, PLAIN) == "Cr 1.1 -> 3.2"
    assert read_attachments(pdf, html).strip() == "html"
    assert read_attachments({"contentType": "text/plain", "url": "lost.txt"}, html).strip() == "html"


@pytest.mark.parametrize(
    ("attachment", "bad"),
    [
        ({"contentType": "application/pdf", "data": encoded("%PDF")}, ("attachment_not_text", "text")),
        ({"contentType": "text/rtf", "data": encoded(r"{\rtf1}")}, ("attachment_not_text", "text")),
        ({"data": encoded("no type")}, ("attachment_not_text", "text")),
        ({"contentType": "text/plain", "data": "a*b"}, ("not_base64", "text")),
        ({"contentType": "text/plain", "data": "caf\xe9"}, ("not_base64", "text")),
        ({"contentType": "text/plain; charset=klingon", "data": "AAAA"}, ("unknown_charset", "text")),
        ({"contentType": "text/plain; charset=\x00", "data": "AAAA"}, ("unknown_charset", "text")),
        ({"contentType": "text/plain", "data": encoded("café", "latin-1")}, ("not_in_charset", "text")),
        ({"contentType": "text/plain", "url": "https://ehr.example/notes/1"}, NOT_FOUND),
        ({"contentType": "text/plain", "url": "Binary/none"}, NOT_FOUND),
        ({"contentType": "text/plain", "url": "../../etc/passwd"}, NOT_FOUND),
        ({"contentType": "text/plain", "url": "a%00b"}, NOT_READABLE),
        ({"contentType": "text/plain", "url": "Binary/\ud800"}, NOT_READABLE),
        ({"contentType": "text/plain", "url": "x" * 300}, NOT_READABLE),
        ({"contentType": "text/plain"}, NOT_FOUND),
    ],
)
def test_an_attachment_that_gives_no_text_says_why(read_attachments, attachment, bad):
    assert read_attachments(attachment) == bad


def test_a_document_without_attachment_is_bad(read_document):
    assert read_document(content=[]) == NOT_FOUND


@pytest.mark.parametrize("change", [{"subject": "Patient/p1"}, {"context": 5}, {"type": ["x"]}])
def test_json_that_is_not_shaped_as_fhir_is_a_bad_row(read_document, change):
    assert read_document(**change) == ("not_fhir", "")


@pytest.mark.parametrize("name", ["Binary.ndjson", "1.Binary.ndjson.gz"])
@pytest.mark.parametrize(
    "url", ["Binary/b2", "https://ehr.example/fhir/Binary/b2", "https://ehr.example/fhir/Binary/b2/_history/1"]
)
def test_a_binary_beside_the_documents_is_found_by_its_url(write, read_attachments, name, url):
    binaries = [
        {"resourceType": "Binary", "id": f"b{i}", "contentType": "text/plain", "data": encoded(f"binary {i}")}
        for i in range(5)
    ]
    write(name, "".join(json.dumps(binary) + "\n" for binary in binaries))
    assert read_attachments({"url": url}) == "binary 2"


def test_binaries_before_a_truncation_are_found(write, read_attachments):
    binaries = [
        {"resourceType": "Binary", "id": f"b{i}", "contentType": "text/plain", "data": encoded(f"{hash(str(i))}" * 99)}
        for i in range(99)
    ]
    path = write("Binary.ndjson.gz", "".join(json.dumps(binary) + "\n" for binary in binaries))
    path.write_bytes(path.read_bytes()[:-500])
    assert read_attachments({"url": "Binary/b0"}) == f"{hash('0')}" * 99
    assert read_attachments({"url": "Binary/b98"}) == NOT_FOUND


def test_a_file_below_the_documents_folder_is_found(write, read_attachments):
    write("attachments/note 1.txt", "in a file")
    assert read_attachments({"contentType": "text/plain", "url": "attachments/note%201.txt"}) == "in a file"


@pytest.mark.parametrize("content", [gzip.compress(b"in a file")[:-6], b"no gzip"])
def test_an_attached_file_that_cannot_be_unpacked_makes_its_own_row_bad(write, read, content):
    write("n.txt", content).rename(write("n.txt.gz", ""))
    attachment = {"contentType": "text/plain", "url": "n.txt.gz"}
    documents = [{**DOCUMENT, "content": [{"attachment": attachment}]}, DOCUMENT]
    found = read(write("DocumentReference.ndjson", "\n".join(map(json.dumps, documents))), format="fhir")
    assert (found.notes, found.bad) == ({2: EXPECTED}, {1: NOT_READABLE})


def test_a_binary_whose_id_is_no_text_hides_no_other(write, read_attachments):
    binaries = [{"id": "\ud800"}, {"id": "b", **PLAIN}]
    write("Binary.ndjson", "\n".join(map(json.dumps, binaries)))
    assert read_attachments({"url": "Binary/b"}) == "Cr 1.1 -> 3.2"


def test_of_an_export_the_documents_are_read(write, read, tmp_path):
    write("DocumentReference.000.ndjson", json.dumps(DOCUMENT) + "\n")
    write("2.DocumentReference.ndjson.gz", json.dumps({**DOCUMENT, "id": "d2"}) + "\n")
    write("Patient.ndjson", json.dumps({"resourceType": "Patient", "id": "p1"}) + "\n")
    path = str(tmp_path)
    assert read(path, format="fhir").left_out == []


def test_lines_that_are_no_json_are_bad_rows(write, read):
    found = read(write("DocumentReference.ndjson", f"\n{{broken\n{json.dumps(DOCUMENT)}\n"), format="fhir")
    assert found.bad == {2: ("not_json", "")}
    assert found.notes == {3: EXPECTED}
