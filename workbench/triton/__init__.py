"""Triton without a GPU: its interpreter with every access watched, and its compiler for GPUs that aren't here.

Two processes, since Triton decides once, when it is imported, whether it interprets or compiles.
"""
