"""Score distillation: for each anchor, candidates as a teacher encoder orders them.

Kullback-Leibler divergence of the student's softmax over candidates from the teacher's (Hinton et al. 2015, arXiv
1503.02531). With the base encoder as teacher it anchors what the base knew.
"""

import torch


def divergence(scores: torch.Tensor, taught: torch.Tensor, temperature: float) -> torch.Tensor:
    """Float (anchors,), from the student's and the teacher's cosines (anchors, candidates)."""
    student = torch.log_softmax(scores / temperature, 1)
    teacher = torch.log_softmax(taught / temperature, 1)
    return (teacher.exp() * (teacher - student)).sum(1)
