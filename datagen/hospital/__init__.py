"""A seeded synthetic hospital: patients, their notes, the truth about every mention, and a benchmark from it."""
