import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from encoders.training.parts import SHORTEST, cut


@given(st.lists(st.integers(1, 200), min_size=1, max_size=80), st.integers(1, 1000))
def test_every_sequence_is_in_one_part_that_fits(lengths, part_tokens):
    parts = cut(lengths, part_tokens)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(lengths)))
    for part in parts:
        of_part = [lengths[at] for at in part]
        assert len(part) == 1 or len(part) * max(of_part) <= part_tokens
        assert min(of_part) >= SHORTEST * max(of_part)


def test_little_is_padding():
    lengths = [160] * 32 + [4] * 900
    parts = cut(lengths, 16_384)
    assert [len(part) for part in parts] == [32, 900]
