"""Kernels of lessons 1 to 5: CUDA C++ in .cu files, launched by thin Python functions on torch tensors."""

import workbench as workbench  # decides how Triton runs, before anything imports it
