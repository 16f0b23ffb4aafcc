"""Text in, vectors out: the encoder, its training and its export."""
