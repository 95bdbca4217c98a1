"""Attention in three kernels, with S and P written to memory. (Lesson 8.)"""
