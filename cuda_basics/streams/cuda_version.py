"""Lesson 5: iterate a vector in host memory, chunk by chunk, on a GPU or on a simulated one."""

from collections.abc import Callable
from functools import partial

import torch

from cuda_basics.streams import overlapped as overlapped_loop
from cuda_basics.streams import pipelined as pipelined_loop
from cuda_basics.streams import sequential as sequential_loop
from cuda_basics.streams.gpu import Gpu
from cuda_basics.streams.simulated import SimulatedGpu
from workbench.arguments import check_tensor
from workbench.gpu import has_gpu

LARGEST = 2**31 - 2**16  # indices are int, and the last block reaches a little past n
Loop = Callable[..., torch.Tensor]


def transform(
    x: torch.Tensor,
    rounds: int,
    *,
    loop: Loop,
    chunks: int = 16,
    buffers: int = 3,
    gpu: Gpu | SimulatedGpu | None = None,
) -> torch.Tensor:
    """x = A * x + B, `rounds` times over, by a chunk loop: copied to the GPU, computed there, copied back.

    x: (n,) float32 in host memory; copies overlap only if it is pinned (x.pin_memory()). loop: called with (gpu, x,
    rounds, elements a chunk, buffers). chunks: into how many equal parts x is cut (the last may be smaller). buffers:
    how many of them may be on the GPU at once. gpu: what runs it; None: the GPU, or without one `SimulatedGpu()`.

    Returns a new tensor, as x, pinned. Raises ValueError for arguments that don't fit, and, on a simulated GPU,
    `Hazard` for a loop whose answer is a matter of luck.
    """
    check_tensor("x", x, shape="(n,)", dtypes=(torch.float32,), largest=LARGEST)
    if x.device.type != "cpu":
        raise ValueError(f"x is on {x.device}; it must be in the host's memory: pass x.cpu()")
    for name, value, least in (("rounds", rounds, 0), ("chunks", chunks, 1), ("buffers", buffers, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**31:
            raise ValueError(f"{name} is {value!r}; it must be an integer of {least} or more, below 2^31")
    if gpu is None:
        gpu = Gpu() if has_gpu() else SimulatedGpu()
    if isinstance(gpu, SimulatedGpu):
        gpu.pin(x)
    chunk = max(-(-len(x) // chunks), 1)
    return gpu.finish(loop(gpu, x.detach(), rounds, chunk, buffers))


sequential: Loop = partial(transform, loop=sequential_loop.sequential)
overlapped: Loop = partial(transform, loop=overlapped_loop.overlapped)
pipelined: Loop = partial(transform, loop=pipelined_loop.pipelined)
LOOPS = {"sequential": sequential, "overlapped": overlapped, "pipelined": pipelined}
