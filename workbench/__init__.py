"""Runs, checks, times and draws kernels. It knows no kernel: lessons hand it theirs.

Importing `workbench` decides, once and before anything imports Triton, how Triton runs: compiled where there is an
NVIDIA GPU, in its interpreter where there is none. Triton reads the variable when it is imported, so a program that
uses both imports `workbench` first (the kernel packages do).
"""

import os

from workbench.gpu import has_gpu

if not has_gpu():
    os.environ.setdefault("TRITON_INTERPRET", "1")
