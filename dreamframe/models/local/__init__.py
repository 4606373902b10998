"""What models in this process share: weights, memory, decoding, batches."""
