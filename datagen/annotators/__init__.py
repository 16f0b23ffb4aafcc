"""Annotators: one leaf an engine that reads passages."""
