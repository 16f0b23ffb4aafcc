"""Who is asking, what they may do, and which patients they may see. No Ray here."""
