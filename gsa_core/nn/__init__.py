"""Equivariant layers other than attention: convolution, norm, pooling, block, embedding."""
