"""Chunks in, training records out: knowledge graphs, matching, expansion, annotators, the synthetic hospital."""
