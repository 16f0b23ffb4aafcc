"""Training an encoder: batches, gradients, the loop, checkpoints."""
