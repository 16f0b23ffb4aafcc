"""Diagnoses, procedures or prescriptions of a passage, one call a type (DR.EHR, arXiv 2507.18583, stage 2)."""
