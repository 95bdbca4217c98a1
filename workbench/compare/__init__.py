"""Attention implementations side by side: right or wrong first, then times and memory (or, without a GPU, traffic)."""
