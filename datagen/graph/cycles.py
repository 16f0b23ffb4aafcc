"""Cycles in an is_a hierarchy, whose edges are two arrays of numbers: children and their parents."""

from collections import defaultdict

import numpy as np


def in_cycles(child: np.ndarray, parent: np.ndarray) -> np.ndarray:
    """Indices of the edges that lie on a cycle or between two: what is left after peeling off roots and leaves."""
    edges = np.arange(len(child))
    n = int(max(child.max(initial=-1), parent.max(initial=-1))) + 1
    while len(edges):
        has_parent, has_child = np.zeros(n, bool), np.zeros(n, bool)
        has_parent[child[edges]] = True
        has_child[parent[edges]] = True
        remaining = has_parent[parent[edges]] & has_child[child[edges]]
        if remaining.all():
            break
        edges = edges[remaining]
    return edges


def closing_edges(child: np.ndarray, parent: np.ndarray) -> list[int]:
    """Indices of edges without which there is no cycle: those that lead a walk, from low numbers on, back to itself.

    The numbers alone decide, not the order of the edges. Time and memory are those of Python: give it what
    `in_cycles` leaves.
    """
    parents: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for edge in range(len(child)):
        parents[int(child[edge])].append((int(parent[edge]), edge))
    closing, finished, on_the_way = [], set(), set()
    for start in sorted(parents):
        if start in finished:
            continue
        on_the_way.add(start)
        walk = [(start, iter(sorted(parents[start])))]
        while walk:
            node, up = walk[-1]
            for above, edge in up:
                if above in on_the_way:
                    closing.append(edge)
                elif above not in finished and above in parents:
                    on_the_way.add(above)
                    walk.append((above, iter(sorted(parents[above]))))
                    break
            else:
                walk.pop()
                on_the_way.remove(node)
                finished.add(node)
    return closing
