"""The same kernel many times in a row: launched one by one, and launched at once as a CUDA graph."""

from functools import lru_cache

import torch

from cuda_basics.streams.iterate import iterate
from workbench.arguments import check_tensor

LARGEST = 2**31 - 2**16


def one_by_one(x: torch.Tensor, rounds: int, launches: int) -> torch.Tensor:
    """iterate.cu on x, `launches` times: `launches * rounds` rounds in all.

    x: (n,) float32 on the GPU or the CPU. rounds, launches: 0 or more. Returns a new tensor, as x. Raises ValueError
    for arguments that don't fit.
    """
    _check(x, rounds, launches)
    y = x.detach().clone()
    for _ in range(launches):
        iterate(y, rounds)
    return y


def graphed(x: torch.Tensor, rounds: int, launches: int) -> torch.Tensor:
    """As `one_by_one`, from a CUDA graph, which is captured at the first call with these sizes. x: on a GPU."""
    _check(x, rounds, launches)
    if not x.is_cuda:
        raise ValueError(f"x is on {x.device}; a CUDA graph needs a GPU: pass x.cuda()")
    if x.numel() == 0 or launches == 0:
        return x.detach().clone()
    graph, y = _captured(x.device, x.numel(), rounds, launches)
    y.copy_(x.detach())  # a graph works on the memory it was captured with
    graph.replay()
    return y.clone()


@lru_cache(maxsize=8)
def _captured(
    device: torch.device, n: int, rounds: int, launches: int
) -> tuple[torch.cuda.CUDAGraph, torch.Tensor]:
    y = torch.zeros(n, device=device)
    iterate(y, rounds)  # compiled and loaded now: a capture takes launches and nothing else
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(launches):
            iterate(y, rounds)  # recorded, not run
    return graph, y


def _check(x: torch.Tensor, rounds: int, launches: int) -> None:
    check_tensor("x", x, shape="(n,)", dtypes=(torch.float32,), largest=LARGEST)
    for name, value in (("rounds", rounds), ("launches", launches)):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
            raise ValueError(f"{name} is {value!r}; it must be an integer of 0 or more, below 2^31")
