"""Who asked what, when and why, and which patients came back: chained records that cannot be changed unseen. No Ray."""
