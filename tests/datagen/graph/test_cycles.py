import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from datagen.graph.cycles import closing_edges, in_cycles

edges = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), unique=True, max_size=25)


def arrays(pairs):
    return tuple(np.array(end, dtype=np.int64) for end in (zip(*pairs, strict=True) if pairs else ((), ())))


def test_a_tree_with_two_ways_up_has_no_cycle():
    child, parent = arrays([(3, 1), (3, 2), (1, 0), (2, 0)])
    assert not len(in_cycles(child, parent))


@given(edges)
def test_without_the_closing_edges_nothing_is_left_in_cycles(pairs):
    child, parent = arrays(pairs)
    closing = closing_edges(child, parent)
    assert not len(in_cycles(np.delete(child, closing), np.delete(parent, closing)))
    assert set(closing) <= set(in_cycles(child, parent).tolist())


@given(edges, st.randoms())
def test_the_order_of_edges_does_not_matter(pairs, random):
    shuffled = random.sample(pairs, len(pairs))
    removed = [{rows[i] for i in closing_edges(*arrays(rows))} for rows in (pairs, shuffled)]
    assert removed[0] == removed[1]
