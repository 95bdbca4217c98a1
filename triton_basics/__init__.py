"""Kernels in Triton: lesson 6, and the Triton side of lessons 2 to 4."""

import workbench as workbench  # decides how Triton runs, before anything imports it
