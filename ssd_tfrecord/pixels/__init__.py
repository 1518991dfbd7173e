"""Images as tensors, batch first, without randomness."""
