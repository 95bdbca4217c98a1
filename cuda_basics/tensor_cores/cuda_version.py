"""Lesson 11: launch one_mma.cu, and the steps of the ladder, from wmma.cu to tuned.cu.

The steps compute a @ b. a: (M, K), b: (K, N) float16 or bfloat16, contiguous, on one device; K is a multiple of 8. Each
returns a new tensor (M, N) of the same dtype, rounded once from float32 sums; it holds zeros if K is 0. They raise
ValueError for other shapes, dtypes, devices or strides, and for sizes over LARGEST or MOST_ROWS.

Where N is a multiple of 8, too, every row starts at a multiple of 16 bytes, and b moves 16 bytes at a time. Where it
isn't, the kernels are compiled with ALIGNED=0: they read b and write the result element by element.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from workbench.arguments import check_tensor
from workbench.cuda import Kernel, load

HERE = Path(__file__).parent
SCALARS = {torch.float16: "__half", torch.bfloat16: "__nv_bfloat16"}
LARGEST = (
    2**31 - 2**16
)  # elements of a matrix: indices are int, and the last tile reaches a little past the end
MOST_ROWS = 65_535 * 128  # a grid has at most 65,535 blocks in y
PAIR = 2 * 64 * (128 + 128)  # bytes of a tile of a and one of b, in pipelined.cu
WIDE_PAIR = 2 * 64 * (128 + 256)  # in tuned.cu


def one_mma(a: torch.Tensor, b: torch.Tensor, *, source: Path = HERE / "one_mma.cu") -> torch.Tensor:
    """a @ b for stacks of small matrices: a (T, 16, 16), b (T, 16, 8), float16 or bfloat16. Returns (T, 16, 8) float32.

    Raises ValueError for other shapes, dtypes, devices or strides.
    """
    check_tensor("a", a, shape="(T, 16, 16)", dtypes=SCALARS, largest=LARGEST)
    check_tensor("b", b, shape="(T, 16, 8)", dtypes=SCALARS)
    if a.shape[1:] != (16, 16):
        raise ValueError(f"a has shape {tuple(a.shape)}; it must be (T, 16, 16)")
    if b.shape != (len(a), 16, 8):
        raise ValueError(
            f"b has shape {tuple(b.shape)}; beside {len(a):,} tiles of a it must be {(len(a), 16, 8)}"
        )
    _check_same(a, b)
    c = a.new_empty(len(a), 16, 8, dtype=torch.float32)
    if len(a) > 0:
        load_once(source, "one_mma", SCALAR=SCALARS[a.dtype])(len(a), 32, (a, b, c))
    return c


def layouts() -> dict[str, np.ndarray]:
    """Which lane holds which element of A (16, 16), B (16, 8) and C (16, 8), found by running ldmatrix and mma.

    For each matrix an array (rows, columns, 2): the lane, and the number of its register. On the CPU.
    """
    one = torch.eye(16, dtype=torch.float16)
    numbers = torch.arange(16 * 16, dtype=torch.float16).reshape(16, 16)  # exact, up to 2048
    narrow = torch.arange(16 * 8, dtype=torch.float16).reshape(16, 8)
    a_held, b_held = torch.empty(32, 4, 2, dtype=torch.float16), torch.empty(32, 2, 2, dtype=torch.float16)
    c_held = torch.empty(32, 4)
    kernel = load_once(HERE / "layouts.cu", "layouts")
    kernel(1, 32, (numbers, narrow, a_held, b_held, c_held))
    found = {"A": (a_held, 16), "B": (b_held, 8)}
    kernel(
        1, 32, (one, narrow, a_held.clone(), b_held.clone(), c_held)
    )  # C = B: it holds the numbers of its places
    found["C"] = (c_held[:, :, None], 8)
    return {
        name: _holders(held.float().numpy().astype(int), columns) for name, (held, columns) in found.items()
    }


def _holders(held: np.ndarray, columns: int) -> np.ndarray:
    """From (lane, register, element of it) -> number of the place, to (row, column) -> lane and register."""
    holders = np.full((16 * columns, 2), -1)
    lanes, registers, _ = np.indices(held.shape)
    holders[held, 0], holders[held, 1] = lanes, registers
    return holders.reshape(16, columns, 2)


def matmul_wmma(a: torch.Tensor, b: torch.Tensor, *, source: Path = HERE / "wmma.cu") -> torch.Tensor:
    """Through nvcuda::wmma."""
    return _launch(source, "matmul_wmma", a, b)


def matmul_mma_sync(a: torch.Tensor, b: torch.Tensor, *, source: Path = HERE / "mma_sync.cu") -> torch.Tensor:
    """Through mma.sync and ldmatrix."""
    return _launch(source, "matmul_mma_sync", a, b)


def matmul_swizzled(a: torch.Tensor, b: torch.Tensor, *, source: Path = HERE / "swizzled.cu") -> torch.Tensor:
    """Without bank conflicts."""
    return _launch(source, "matmul_swizzled", a, b)


def matmul_pipelined(
    a: torch.Tensor, b: torch.Tensor, *, source: Path = HERE / "pipelined.cu"
) -> torch.Tensor:
    """With tiles on their way while others are multiplied."""
    return _launch(source, "matmul_pipelined", a, b, shared_memory=3 * PAIR)


def matmul_tuned(a: torch.Tensor, b: torch.Tensor, *, source: Path = HERE / "tuned.cu") -> torch.Tensor:
    """Larger tiles, fragments loaded ahead, neighbouring tiles at the same time: the fastest."""
    _check(a, b)
    stages = 3 if _shared_memory(a.device) >= 3 * WIDE_PAIR else 2
    return _launch(source, "matmul_tuned", a, b, 256, 256, stages * WIDE_PAIR, STAGES=stages)


matmul = matmul_tuned
STEPS = {
    "wmma": matmul_wmma,
    "mma_sync": matmul_mma_sync,
    "swizzled": matmul_swizzled,
    "pipelined": matmul_pipelined,
    "tuned": matmul_tuned,
}


def _launch(
    source: Path,
    name: str,
    a: torch.Tensor,
    b: torch.Tensor,
    tile_n: int = 128,
    threads: int = 128,
    shared_memory: int = 0,
    **defines: object,
) -> torch.Tensor:
    """Launch a block of `threads` for each tile of 128 x tile_n of the result."""
    _check(a, b)
    (m, k), n = a.shape, b.shape[1]
    c = a.new_empty(m, n)
    if c.numel() == 0:
        return c
    if k == 0:
        return c.zero_()
    a, b = (
        matrix.clone() if matrix.data_ptr() % 16 else matrix for matrix in (a, b)
    )  # a view that starts elsewhere
    kernel = load_once(source, name, SCALAR=SCALARS[a.dtype], ALIGNED=int(n % 8 == 0), **defines)
    kernel(
        (-(-n // tile_n), -(-m // 128)),
        threads,
        (a, b, c, np.int32(m), np.int32(n), np.int32(k)),
        shared_memory=shared_memory,
    )
    return c


@lru_cache
def load_once(source: Path, name: str, **defines: object) -> Kernel:
    return load(source, name, defines)


@lru_cache
def _shared_memory(device: torch.device) -> int:
    """Bytes of shared memory that a block may ask for. The PTX machine gives what an H100 gives."""
    if device.type != "cuda":
        return 227 * 1024
    from cupy.cuda import runtime

    return int(runtime.deviceGetAttribute(runtime.cudaDevAttrMaxSharedMemoryPerBlockOptin, device.index))


def _check(a: torch.Tensor, b: torch.Tensor) -> None:
    check_tensor("a", a, shape="(M, K)", dtypes=SCALARS, largest=LARGEST)
    check_tensor("b", b, shape="(K, N)", dtypes=SCALARS, largest=LARGEST)
    (m, k), (rows, n) = a.shape, b.shape
    if rows != k:
        raise ValueError(f"b has shape {(rows, n)}; a has {k:,} columns, so b must have {k:,} rows")
    if k % 8:
        raise ValueError(f"K is {k:,}, the columns of a and the rows of b; it must be a multiple of 8")
    _check_same(a, b)
    if m > MOST_ROWS:
        raise ValueError(f"a has {m:,} rows; at most {MOST_ROWS:,} are possible")
    if m * n > LARGEST:
        raise ValueError(f"a and b make {m * n:,} elements; at most {LARGEST:,} are possible")


def _check_same(a: torch.Tensor, b: torch.Tensor) -> None:
    for what, mine, other in (("dtype", a.dtype, b.dtype), ("device", a.device, b.device)):
        if mine != other:
            raise ValueError(f"b has {what} {other} and a has {mine}; they must be the same")
