"""Matrix product in Triton: a program computes a tile of the result. (Lesson 6.)

The idea of cuda_basics/matmul/shared_tile.cu: walk along K, a tile of a and a tile of b at a time. Which thread holds
what, what goes through shared memory and when, and which instructions multiply is left to the compiler.

Measured on an H100 80GB HBM3: bfloat16, 8192 x 8192 x 8192, three times in one run 685 to 709 TFLOP/s, 0.99 to 1.03
times cuBLAS beside it (tiles of 128 x 256, GROUP = 8; with GROUP = 1 0.97 times, with 16 1.01). float32, 4096: 44
TFLOP/s, cuBLAS 52.
"""

import torch
import triton
import triton.language as tl

from workbench.arguments import check_tensor

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
LARGEST = 2**31 - 2**16  # offsets from a tensor's first element are int32, and tiles reach past the end


@triton.jit
def tile_of(program, tiles_m, tiles_n, GROUP: tl.constexpr):
    """(row, column) of the tile that a program computes, of tiles_m x tiles_n: GROUP rows of tiles at a time.

    In a group down the columns. Programs that run at the same time then share rows of a and columns of b in L2.
    """
    first = program // (GROUP * tiles_n) * GROUP
    height = tl.minimum(tiles_m - first, GROUP)  # the last group may be lower
    place = program % (GROUP * tiles_n)
    return first + place % height, place // height


@triton.jit
def tile_order_kernel(order, tiles_m, tiles_n, GROUP: tl.constexpr):
    program = tl.program_id(0)
    row, column = tile_of(program, tiles_m, tiles_n, GROUP)
    tl.store(order + 2 * program, row)
    tl.store(order + 2 * program + 1, column)


@triton.jit
def matmul_kernel(
    a, b, c, M, N, K, a_row, a_column, b_row, b_column, SLOPE: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """c = leaky_relu(a b) for pointers a to (M, K), b to (K, N), c to (M, N) elements, c row after row.

    a_row, a_column, b_row, b_column: the steps from one row (column) to the next. SLOPE: see `matmul`.
    """
    tile_m, tile_n = tile_of(tl.program_id(0), tl.cdiv(M, BLOCK_M), tl.cdiv(N, BLOCK_N), GROUP)
    row = tile_m * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    column = tile_n * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    k = tl.arange(0, BLOCK_K)
    a_tile = (
        a + row % M * a_row + k[None, :] * a_column
    )  # past the edge: some row that exists; it isn't stored
    b_tile = b + k[:, None] * b_row + column % N * b_column
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, K, BLOCK_K):
        x = tl.load(a_tile, mask=k[None, :] < K - start, other=0.0)  # zeros add nothing
        y = tl.load(b_tile, mask=k[:, None] < K - start, other=0.0)
        total = tl.dot(x, y, total, input_precision="ieee")  # float32 in float32, not TF32
        a_tile += BLOCK_K * a_column
        b_tile += BLOCK_K * b_row
    if SLOPE != 1:
        total = tl.where(total >= 0, total, SLOPE * total)  # in registers: no byte moves for it
    tl.store(c + row * N + column, total.to(c.dtype.element_ty), mask=(row < M) & (column < N))


def tiles(m: int, n: int, k: int, group: int, warps: int, stages: int) -> triton.Config:
    """The sizes of a tile and of a step along K, of a group in rows of tiles; warps a program, steps in flight."""
    sizes = {"BLOCK_M": m, "BLOCK_N": n, "BLOCK_K": k, "GROUP": group}
    return triton.Config(sizes, num_warps=warps, num_stages=stages)


DEFAULT = tiles(64, 64, 32, group=8, warps=4, stages=3)
# What a large product chooses from, by bytes an element.
CONFIGS = {
    2: [
        tiles(128, 256, 64, group=16, warps=8, stages=3),
        tiles(128, 256, 64, group=16, warps=8, stages=4),
        tiles(128, 128, 64, group=16, warps=4, stages=4),
        tiles(128, 128, 32, group=16, warps=4, stages=3),  # fits every GPU since sm_80
    ],
    4: [
        DEFAULT,
        tiles(128, 64, 16, group=8, warps=8, stages=3),
        tiles(128, 128, 16, group=8, warps=8, stages=3),
    ],
}
LARGE = 2**30  # multiply-adds from which on it pays to try them
tuned = {
    size: triton.autotune(configs, key=["M", "N", "K"], cache_results=True)(matmul_kernel)
    for size, configs in CONFIGS.items()
}


def matmul(
    a: torch.Tensor, b: torch.Tensor, *, slope: float = 1.0, config: triton.Config | None = None
) -> torch.Tensor:
    """The leaky ReLU of a b: elements below zero times `slope`. With 1, which leaves them as they are, plain a b.

    a: (M, K), b: (K, N): both float32, float16 or bfloat16, any strides, on one device. Returns a new tensor (M, N) of
    their dtype. Sums are kept in float32. config: tile sizes to use; by default a GPU's product of 2^30 multiply-adds
    and more takes the fastest of `CONFIGS`, others `DEFAULT`. The first such product of its sizes and dtype takes
    seconds, while each of them is compiled and timed; which one won is kept in memory, and on disk by Triton.

    Raises ValueError for other shapes, dtypes and devices, and for bfloat16 on a CPU.
    """
    (M, K), N = _sizes(a, b)
    c = torch.empty((M, N), dtype=a.dtype, device=a.device)
    if c.numel() == 0:
        return c

    def grid(sizes: dict[str, int]) -> tuple[int]:
        return (triton.cdiv(M, sizes["BLOCK_M"]) * triton.cdiv(N, sizes["BLOCK_N"]),)

    arguments = (a, b, c, M, N, K, *a.stride(), *b.stride(), slope)
    if config is None and a.is_cuda and M * N * K >= LARGE:
        tuned[a.element_size()][grid](*arguments)
    else:
        matmul_kernel[grid](*arguments, **(config or DEFAULT).all_kwargs())
    return c


def _sizes(a: torch.Tensor, b: torch.Tensor) -> tuple[tuple[int, int], int]:
    """(M, K), N."""
    for name, tensor, shape in (("a", a, "(M, K)"), ("b", b, "(K, N)")):
        check_tensor(name, tensor, shape=shape, dtypes=DTYPES, largest=LARGEST, contiguous=False)
    for what, of_a, of_b in (("dtype", a.dtype, b.dtype), ("device", a.device, b.device)):
        if of_a != of_b:
            raise ValueError(f"b has {what} {of_b} and a has {of_a}; they must be the same")
    if a.dtype == torch.bfloat16 and a.device.type == "cpu":
        raise ValueError(
            "a is bfloat16 on a CPU, where Triton's interpreter multiplies that wrongly; use float16"
        )
    (M, K), (rows, N) = a.shape, b.shape
    if rows != K:
        raise ValueError(
            f"b has {rows} rows and a has {K} columns; a b needs as many of the one as of the other"
        )
    if M * N > LARGEST:
        raise ValueError(f"a b would have {M * N:,} elements; at most {LARGEST:,} are possible")
    return (M, K), N


def tile_order(tiles_m: int, tiles_n: int, group: int, *, device: str = "cpu") -> torch.Tensor:
    """Which of tiles_m x tiles_n tiles each program of `matmul_kernel` computes: (tiles_m * tiles_n, 2) int32.

    Row p is program p's (row, column), in groups of `group` rows of tiles. Raises ValueError for sizes below 1.
    """
    for name, size in (("tiles_m", tiles_m), ("tiles_n", tiles_n), ("group", group)):
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size < 2**15:
            raise ValueError(f"{name} is {size!r}; it may be an integer from 1 to {2**15 - 1:,}")
    order = torch.empty((tiles_m * tiles_n, 2), dtype=torch.int32, device=device)
    tile_order_kernel[(len(order),)](order, tiles_m, tiles_n, GROUP=group)
    return order
