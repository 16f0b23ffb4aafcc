"""Speed and memory, each `python -m benchmarks.<name>`; docs/benchmarks.md keeps the results."""
