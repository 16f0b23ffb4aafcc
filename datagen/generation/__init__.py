"""Asking a language model about every chunk without losing a row: calls, checkpointed rounds of answers, errors."""
