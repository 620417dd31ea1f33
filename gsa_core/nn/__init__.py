"""Equivariant layers beside attention: convolution, norm, pooling, block, embedding."""
