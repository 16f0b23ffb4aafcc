"""Hits in, numbers out: benchmarks, retrievers, metrics, runs and the report."""
