import gzip
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.near_duplicates import BenchmarkTexts


def words(seed, count):
    draw = random.Random(seed)
    return ["".join(draw.choices("abcdefghijklmnop", k=6)) for _ in range(count)]


def text(seed, count=200):
    return " ".join(words(seed, count))


def benchmark(path, texts, threshold=0.3):
    path.write_text("".join(json.dumps({"_id": i, "text": t}) + "\n" for i, t in texts.items()))
    return BenchmarkTexts(path, threshold)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    chunks = {"n7_0": text(1, 100), "n7_1": text(2, 100), "n_8_12": text(3, 400)}
    return benchmark(tmp_path_factory.mktemp("known") / "corpus.jsonl", chunks)


def test_other_text_does_not_overlap(known):
    assert not known.overlaps(text(9))
    assert not known.overlaps("")


def test_a_benchmark_chunk_inside_a_longer_note_is_found(known):
    assert known.overlaps(f"{text(8, 900)} {text(2, 100)} {text(9, 900)}")


@given(start=st.integers(0, 340), length=st.integers(60, 400), before=st.integers(0, 300), after=st.integers(0, 300))
def test_any_part_of_a_benchmark_note_is_found_by_its_share(known, start, length, before, after):
    part = words(3, 400)[start : start + length]
    note = " ".join([*words(4, before), *part, *words(5, after)])
    shared, shorter = len(part) - 7, min(before + len(part) + after, 400) - 7
    assert known.overlaps(note) == (10 * shared >= 3 * shorter)


def test_a_note_inside_a_longer_benchmark_text_is_found(known):
    assert known.overlaps(" ".join(words(3, 400)[200:260]))


def test_dates_marks_case_and_layout_do_not_matter(tmp_path):
    notes = words(1, 100)
    here = " ".join(f"{word} [**2101-1-{i} Hospital**]" if i % 6 == 0 else word for i, word in enumerate(notes))
    there = ",\n".join(f"{word.upper()} ___ 12/2/2019" if i % 6 == 0 else word for i, word in enumerate(notes))
    assert benchmark(tmp_path / "notes.jsonl", {"a": here}).overlaps(there)


def test_the_threshold_is_a_share_of_the_shorter_note(tmp_path):
    chunks = {"a_0": text(3, 100), "a_1": " ".join(words(3, 100)[-10:] + words(4, 90))}
    whole = words(3, 100) + words(4, 90)  # 183 sequences
    note = " ".join(whole[:57] + words(5, 500))  # 50 of them
    assert benchmark(tmp_path / "corpus.jsonl", chunks, 0.27).overlaps(note)
    assert not benchmark(tmp_path / "corpus.jsonl", chunks, 0.28).overlaps(note)
    part = " ".join(whole[60:117] + words(6, 50))  # 50 of 100 sequences of its own, on both sides of the cut
    assert benchmark(tmp_path / "corpus.jsonl", chunks, 0.5).overlaps(part)
    assert not benchmark(tmp_path / "corpus.jsonl", chunks, 0.51).overlaps(part)


def test_half_a_chunk_of_a_long_note_is_no_copy(tmp_path):
    many = {f"n_{i}": text(i, 100) for i in range(20)}
    long = benchmark(tmp_path / "long.jsonl", many)
    assert long.overlaps(f"{text(90)} {text(3, 100)} {text(91)}")
    assert not long.overlaps(f"{text(90)} {' '.join(words(3, 100)[:60])} {text(91)}")


def test_one_common_phrase_makes_no_duplicate_of_a_short_text(tmp_path):
    phrase = "discharged home in stable condition with close follow up"
    assert not benchmark(tmp_path / "notes.jsonl", {"a_0": phrase}).overlaps(f"{text(1)} {phrase}")


def test_what_many_notes_of_the_benchmark_say_tells_nothing(tmp_path):
    house = text(0, 100)
    chunks = {f"n{note}_{i}": f"{house} {text((note, i).__hash__())}" for note in range(5) for i in range(2)}
    assert not benchmark(tmp_path / "notes.jsonl", chunks).overlaps(house)
    one_note = {f"n_{i}": chunk for i, chunk in enumerate(chunks.values())}
    assert benchmark(tmp_path / "notes.jsonl", one_note).overlaps(house)


def test_note_ids_come_from_chunk_ids(known):
    assert known.note_ids == {"n7", "n_8"}


def test_a_benchmark_folder_is_read_plain_or_compressed(tmp_path):
    (tmp_path / "corpus.jsonl.gz").write_bytes(gzip.compress(json.dumps({"_id": "n_0", "text": text(1)}).encode()))
    assert BenchmarkTexts(tmp_path, 0.3).overlaps(text(1))
    assert benchmark(tmp_path / "corpus.jsonl", {"n_0": text(2)}).overlaps(text(2))
    assert BenchmarkTexts(tmp_path, 0.3).overlaps(text(2))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"_id": "a", "text": "b"}\nnot json', "row 2"),
        (b'{"_id": "a"}', "row 1"),
        (b"[]", "row 1"),
        (b"", "no rows"),
        (b'{"_id": "a", "text": "\xff"}', "not UTF-8"),
    ],
)
def test_another_form_is_refused_by_file_and_row(tmp_path, content, message):
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"corpus.jsonl.*{message}"):
        BenchmarkTexts(tmp_path, 0.3)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"corpus.jsonl.*cannot be read"):
        BenchmarkTexts(tmp_path, 0.3)


def test_a_cut_gzip_is_refused(tmp_path):
    whole = gzip.compress(json.dumps({"_id": "a", "text": text(1, 2000)}).encode())
    (tmp_path / "corpus.jsonl.gz").write_bytes(whole[:-500])
    with pytest.raises(ValueError, match=r"corpus.jsonl.gz: the gzip data is cut"):
        BenchmarkTexts(tmp_path, 0.3)
