"""Structured mentions of a passage after GENIE (Ying et al. 2025, arXiv 2501.18435)."""
