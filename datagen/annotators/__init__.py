"""Annotators: one leaf an engine that reads passages; `choice` makes the one that settings name."""
