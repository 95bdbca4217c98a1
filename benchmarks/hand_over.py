"""What racecheck says of Triton's own code: compute-sanitizer --tool racecheck python3 -m benchmarks.hand_over

A Gluon kernel without shared memory, barriers or TMA in its source: a sum over four warps, then `gl.warp_specialize`,
in which three groups of warps write different elements. The groups' warps wait in a loop for a byte each, which says
what they are to do. The first warps write these bytes, and before they are read, all threads of the block meet at
`barrier.sync 1`: the kernel's PTX shows both. racecheck names these eight bytes nonetheless if the first warps have met
at a barrier of their own before, as the sum makes them do. On an H100 with Triton 3.6: some 30 hazards, or 100; without
the sum, none.
"""

import os

os.environ["TRITON_INTERPRET"] = "0"

import torch
from triton.experimental import gluon
from triton.experimental.gluon import language as gl

BLOCKS = 8


@gluon.jit
def write(x, GROUP: gl.constexpr):  # type: ignore[no-untyped-def]
    n = gl.arange(0, 128, gl.BlockedLayout([1], [32], [4], [0]))
    gl.store(x + (gl.program_id(0) * 3 + GROUP) * 128 + n, n)


@gluon.jit
def hand_over_kernel(x, total):  # type: ignore[no-untyped-def]
    n = gl.arange(0, 128, gl.BlockedLayout([1], [32], [4], [0]))
    gl.store(total + gl.program_id(0), gl.sum(n, 0))
    gl.warp_specialize(
        [(write, (x, 0)), (write, (x, 1)), (write, (x, 2))],
        worker_num_warps=[4, 4],
        worker_num_regs=[64, 64],
    )


if __name__ == "__main__":
    x = torch.zeros(BLOCKS * 3, 128, dtype=torch.int32, device="cuda")
    total = torch.zeros(BLOCKS, dtype=torch.int32, device="cuda")
    hand_over_kernel[(BLOCKS,)](x, total, num_warps=4)
    right = torch.arange(128, dtype=torch.int32, device="cuda")
    print("right" if (x == right).all() and (total == right.sum()).all() else "wrong")
