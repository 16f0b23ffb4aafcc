from datagen.guard import Guard, GuardSettings


def write(path, *lines):
    path.write_text("".join(line + "\n" for line in lines))
    return path


def test_benchmark_patients_are_left_out(tmp_path):
    guard = Guard(GuardSettings(patients=write(tmp_path / "patients.txt", "p1"), min_words=0))
    assert not guard.admits("p1", "n_0", "text")
    assert guard.admits("p2", "n_0", "text")


def test_held_out_terms_are_normalised(tmp_path):
    guard = Guard(GuardSettings(terms=write(tmp_path / "terms.txt", "Celiac  Disease", "")))
    assert guard.terms == {"celiac disease"}


def test_short_notes_are_left_out_but_not_the_short_last_chunk_of_a_long_one():
    guard = Guard(GuardSettings())
    assert not guard.admits("p", "n_0", "word " * 49)
    assert guard.admits("p", "n_0", "word " * 50)
    assert guard.admits("p", "n_3", "word " * 11)
