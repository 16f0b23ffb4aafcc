"""Notes in, chunks out: sources, cleaning, chunking and the store."""
