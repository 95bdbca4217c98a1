"""Kernels that the PTX machine must run: how each is launched, and what it computes, in NumPy."""

from __future__ import annotations

import numpy as np

from kernels.arithmetic import doubles, halves, integers, mathematics, polynomial
from kernels.attention import flash, flash_mma
from kernels.case import Case, compiled, difference, launch
from kernels.exchange import (
    named_barriers,
    one_barrier,
    shared_flags,
    shared_types,
    warp,
    warp_exchange,
    warp_matches,
    warp_reductions,
    warp_shuffles,
    warp_votes,
)
from kernels.functions import functions, sort_groups, speaking
from kernels.products import matmul, matrices
from kernels.sums import (
    atomics,
    bitonic_sort,
    chained_scan,
    collect_positive,
    histogram,
    reduction,
    scan,
    softmax,
    sum_of_groups,
    with_lock,
)
from kernels.vectors import (
    basics,
    coordinates,
    hello,
    saxpy,
    stencil,
    transpose,
    turn_round,
    volume,
    who_am_i,
)

MMA = ("matmul_mma.cu", "matmul_mma")
WMMA = ("matmul_wmma.cu", "matmul_wmma")
REGISTERS = ("matmul_register_tiled.cu", "matmul_register_tiled")
BFLOAT = "__nv_bfloat16"

CASES = {
    case.name: case
    for case in [
        hello(),
        who_am_i(),
        coordinates(),
        basics("vector_add", "plain.cu", "vector_add", 1000, 1000),
        basics("vector_add, half", "plain.cu", "vector_add", 333, 333, np.float16),
        basics("vector_add_strided", "strided.cu", "vector_add_strided", 1001, 1008),
        basics("vector_add_strided, half", "strided.cu", "vector_add_strided", 500, 504, np.float16),
        basics("vector_add_vectorised", "vectorised.cu", "vector_add_vectorised", 1003, 251),
        basics("vector_add_vectorised, half", "vectorised.cu", "vector_add_vectorised", 1003, 126, np.float16),
        saxpy(),
        saxpy(200_003, 3126),
        stencil(),
        transpose(0),
        transpose(1),
        turn_round(),
        volume(),
        matmul("matmul_tiled", "matmul_tiled.cu", "matmul_tiled", (33, 50, 45), (16, 16), (16, 16)),
        matmul("matmul_register_tiled", *REGISTERS, (35, 44, 20), (32, 32), 64),
        matmul("matmul_mma", *MMA, (128, 128, 128), (64, 64), 128, "__half"),
        matmul("matmul_mma, ragged", *MMA, (75, 72, 88), (64, 64), 128, "__half"),
        matmul("matmul_wmma", *WMMA, (48, 48, 64), (16, 32), 64, "__half", {"SCALAR": "__half"}),
        matmul("matmul_wmma, bfloat16", *WMMA, (32, 64, 48), (16, 32), 64, BFLOAT, {"SCALAR": BFLOAT}),
        *(reduction(f"reduce_{way}") for way in ("interleaved", "sequential", "shuffle", "atomic", "two_stages")),
        softmax(),
        histogram(),
        scan("scan_hillis_steele"),
        scan("scan_warp"),
        chained_scan(),
        atomics(),
        sum_of_groups(),
        collect_positive(),
        with_lock(),
        bitonic_sort(),
        shared_types(),
        shared_flags(),
        one_barrier(),
        flash("v1", 2, 70, False),
        flash("v1", 1, 65, True),
        flash("v2", 2, 70, False),
        flash("v2", 2, 97, True),
        flash("v2_rows", 1, 40, False, 32),
        flash("v2_rows", 1, 70, True, 64),
        flash_mma(1, 128, 64, 64, 64),
        flash_mma(1, 100, 64, 64, 64, causal=True),
        flash_mma(1, 64, 64, 64, 64, swizzle=0),
        flash_mma(1, 100, 128, 128, 32),
        *(matrices(count, stride) for count in (1, 2, 4) for stride in (16, 80, 128)),
        matrices(4, 32, True), matrices(4, 144, True), matrices(2, 64, True, 8), matrices(4, 128, False, 4),
        *(halves(f"{kind}_arithmetic") for kind in ("half", "half2", "bfloat", "bfloat2")),
        integers(),
        doubles(),
        mathematics(),
        polynomial(),
        functions(),
        sort_groups(),
        speaking(),
        named_barriers(),
        warp("warp_exchange", 1, warp_exchange),
        warp("warp_shuffles", 7, warp_shuffles),
        warp("warp_votes", 5, warp_votes),
        warp("warp_matches", 3, warp_matches),
        warp("warp_reductions", 5, warp_reductions),
    ]
}  # fmt: skip

# The launches whose time is held to (see test_programs.py).
LARGE = {
    "flash_mma": flash_mma(2, 512, 128, 64, 64, causal=True),
    "flash_v2": flash("v2", 2, 256, True),
    "flash_v2 of 64 threads": flash("v2_rows", 1, 128, True, 64),
    "matmul_mma": CASES["matmul_mma"],
    "vector_add": basics("vector_add, 1 M", "plain.cu", "vector_add", 1 << 20, 1 << 20),
}

__all__ = ["CASES", "LARGE", "Case", "compiled", "difference", "launch"]
