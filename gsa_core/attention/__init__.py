"""Self-attention over a group: the layers, their encodings, and the backends that compute it."""
