"""Diagnoses, procedures and prescriptions of a passage in one call; items are {"type", "name"}."""
