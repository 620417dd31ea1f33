"""Ways to compute attention: every score in memory, torch, the C++ kernel, FlexAttention."""
