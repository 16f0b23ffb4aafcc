"""The relevance of a passage to a query, with match types as in CliniQ (Zhao et al. 2025, arXiv 2502.06252)."""
