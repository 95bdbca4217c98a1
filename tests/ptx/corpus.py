"""Seeded faults: each a small change that makes a right kernel wrong, and what must be said about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kernels import CASES, Case

from workbench.ptx import (
    AssertionFailed,
    AsyncNotWaited,
    BarrierDivergence,
    BudgetSpent,
    Fault,
    GlobalRace,
    LaunchError,
    Misaligned,
    MissingLanes,
    OutOfBounds,
    SharedRace,
    TooManyResources,
    Uninitialised,
)

RACES = (SharedRace, GlobalRace)


@dataclass(frozen=True)
class Change:
    """`old` in a case's source becomes `new`; `launched` are fields of the case to launch it otherwise."""

    name: str
    case: str
    old: str
    new: str
    launched: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.case}: {self.name}"

    def applied(self, folder: Path) -> tuple[Case, Path]:
        """The case as it is launched, and the changed source, written to a folder."""
        case = replace(CASES[self.case], **self.launched)
        source = case.path.read_text()
        if self.old and source.count(self.old) != 1:
            raise ValueError(
                f"{self}: {self.old!r} stands {source.count(self.old)} times in {case.path.name}"
            )
        path = folder / case.path.name
        path.write_text(source.replace(self.old, self.new) if self.old else source)
        return case, path


@dataclass(frozen=True)
class Seeded(Change):
    """A fault.

    faults: what may be reported. at: pieces of the source lines, as they are after the change, that a report may name.
    values: whether wrong results, with no report, are also an answer; where `faults` is empty, they are the only one.
    """

    faults: tuple[type[Exception], ...] = ()
    at: tuple[str, ...] = ()
    values: bool = False

    def lines(self, source: str) -> set[int]:
        """The lines that a report may name."""
        found: set[int] = set()
        for piece in self.at:
            here = {number for number, line in enumerate(source.splitlines(), 1) if piece in line}
            if not here:
                raise ValueError(f"{self}: no line holds {piece!r}")
            found |= here
        return found


def wrong(name: str, case: str, old: str, new: str, **launched: Any) -> Seeded:
    """A change that shows in the results only."""
    return Seeded(name, case, old, new, launched)


def fault(
    name: str, case: str, old: str, new: str, kinds: Any, *at: str, values: bool = False, **launched: Any
) -> Seeded:
    """A change that must be reported, as one of these kinds, at a line that holds one of these pieces."""
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    return Seeded(name, case, old, new, launched, kinds, at, values)


FLASH_1 = "flash_v1, 1 heads of 65, causal"
FLASH_2 = "flash_v2, 2 heads of 97, causal"
FLASH_2_FULL = "flash_v2, 2 heads of 70"
TILES = ("A_tile[y][x] =", "B_tile[y][x] =", "sum += A_tile")
V2_TILES = ("Q[e / HEAD_DIM]", "K[e / HEAD_DIM]", "V[e / HEAD_DIM]", "score += Q", "acc[d] += p")
MMA_LINES = ("shared_address(", "copy_16_bytes(", "load_4_matrices")
STORE = "C[row * columns + column"

VECTORS = [
    fault("length off by one", "vector_add", "i < n", "i <= n", OutOfBounds, "c[i] = a[i]"),
    fault("no guard", "vector_add", "if (i < n)", "if (true)", OutOfBounds, "c[i] = a[i]"),
    fault("guard on the thread", "vector_add", "if (i < n)", "if (threadIdx.x < n)", OutOfBounds,
          "c[i] = a[i]"),
    wrong("last element left out", "vector_add, half", "i < n", "i + 1 < n"),
    wrong("first element left out", "vector_add", "if (i < n)", "if (i > 0 && i < n)"),
    fault("blocks overlap", "vector_add", "blockIdx.x * blockDim.x", "blockIdx.x * 60", GlobalRace, "c[i] =",
          values=True),
    fault("wrong array", "vector_add", "b[i]", "c[i]", Uninitialised, "c[i] = a[i]"),
    wrong("one block too few", "vector_add", "", "", grid=15),
    fault("no guard of i", "vector_add_strided", " && i < n", "", OutOfBounds, "c[i] = a[i]"),
    wrong("a row too few", "vector_add_strided", "(n - 1) / STRIDE + 1", "n / STRIDE"),
    fault("index by one element", "vector_add_vectorised", ") * WIDTH;", ") * WIDTH + 1;", Misaligned,
          "const Pack x"),
    fault("guard of the first only", "vector_add_vectorised", "first + WIDTH <= n", "first < n", OutOfBounds,
          "const Pack x"),
    wrong("rest forgotten", "vector_add_vectorised, half", "for (int i = first; i < n; ++i)",
          "for (int i = first; i < 0; ++i)"),
    fault("no guard of rows", "coordinates", "row < rows && ", "", OutOfBounds, "table[row * columns"),
    fault("no guard of columns", "coordinates", " && column < columns", "", (GlobalRace, OutOfBounds),
          "table[row * columns"),
    fault("wrong stride", "coordinates", "row * columns + column]", "row * rows + column]", GlobalRace,
          "table[row * rows"),
    fault("no guard", "who_am_i", "if (i < n)", "if (true)", OutOfBounds, "block[i] ="),
    wrong("lane of 16", "who_am_i", "threadIdx.x % warpSize", "threadIdx.x % 16"),
    fault("length off by one", "saxpy", "i < n", "i <= n", OutOfBounds, "y[i] = factor"),
    fault("stride of a block", "saxpy", "i += threads", "i += blockDim.x", GlobalRace, "y[i] = factor"),
    fault("reads what other blocks write", "saxpy, many blocks", "+ y[i];", "+ y[(i + n / 2) % n];",
          GlobalRace, "y[i] = factor"),
    fault("last block runs over", "saxpy, many blocks", "i < n", "i < n + 60", OutOfBounds, "y[i] = factor"),
    fault("no stride", "saxpy", "i += threads", "i += 0", BudgetSpent, "y[i] = factor", "for (int i"),
    fault("no guard of depth", "volume", " && z < depth", "", OutOfBounds, "out[(z * height"),
    fault("wrong stride", "volume", "(z * height + y)", "(z * depth + y)", GlobalRace, "out[(z * depth"),
    fault("coefficient off by one", "polynomial", "power = DEGREE;", "power = DEGREE + 1;", OutOfBounds,
          "coefficients[power]"),
    fault("table off by one", "polynomial", "weights[i % 3]", "weights[i % 4]", OutOfBounds,
          "weights[i % 4]"),
    fault("pairs off by one", "half2_arithmetic",
          "const int pairs = n / 2;\n  if (i >= pairs) return;\n  const __half2",
          "const int pairs = n / 2;\n  if (i > pairs) return;\n  const __half2", OutOfBounds,
          "const __half2 a = x[i]"),
]  # fmt: skip

SHARED = [
    fault("no barrier", "stencil", "  __syncthreads();\n", "", SharedRace, "part[place", "sum +="),
    fault("edge one place off", "stencil", "part[place + THREADS] =", "part[place + THREADS - 1] =",
          (SharedRace, Uninitialised), "part[place", "sum +="),
    fault("edge too short", "stencil", "threadIdx.x < RADIUS", "threadIdx.x < RADIUS - 1", Uninitialised,
          "sum +="),
    fault("a step too far", "stencil", "step <= RADIUS", "step <= RADIUS + 1", OutOfBounds, "sum +="),
    fault("array too short", "stencil", "part[THREADS + 2 * RADIUS]", "part[THREADS + RADIUS]", OutOfBounds,
          "part[place + THREADS]"),
    fault("no guard on the left", "stencil", "left >= 0 ? x[left] : 0", "x[left]", OutOfBounds, "= x[left]"),
    fault("no guard on the right", "stencil", "right < n ? x[right] : 0", "x[right]", OutOfBounds,
          "= x[right]"),
    fault("length off by one", "stencil", "i < n ? x[i] : 0", "i <= n ? x[i] : 0", OutOfBounds,
          "i <= n ? x[i]"),
    fault("return before the barrier", "stencil", "  part[place] = i <",
          "  if (i >= n) return;\n  part[place] = i <", (BarrierDivergence, Uninitialised), "__syncthreads",
          "sum +="),
    fault("no barrier", "transpose, padding 1", "  __syncthreads();\n", "", SharedRace,
          "tile[line][threadIdx.x] =", "= tile[threadIdx.x][line]"),
    fault("not transposed", "transpose, padding 0", "= tile[threadIdx.x][line]", "= tile[line][threadIdx.x]",
          Uninitialised, "= tile[line][threadIdx.x]", values=True),
    fault("guard off by one", "transpose, padding 1", "out_row < columns", "out_row <= columns",
          (OutOfBounds, Uninitialised), "= tile[threadIdx.x][line]"),
    fault("a line too few", "transpose, padding 1", "tile[TILE][TILE + PADDING]",
          "tile[TILE - 1][TILE + PADDING]", OutOfBounds, "tile[line][threadIdx.x] =",
          "= tile[threadIdx.x][line]"),
    fault("wrong stride", "transpose, padding 0", "out_row * rows + out_column]",
          "out_row * columns + out_column]", (GlobalRace, OutOfBounds), "out_row * columns"),
    fault("half of the lines", "transpose, padding 1", "line += LINES) {\n    const int row ",
          "line += 2 * LINES) {\n    const int row ", Uninitialised, "= tile[threadIdx.x][line]"),
    fault("count off by one", "turn_round", "part[count - 1 - threadIdx.x]", "part[count - threadIdx.x]",
          (OutOfBounds, Uninitialised), "part[count"),
    fault("barrier in a branch", "turn_round", "x[first + threadIdx.x];\n  __syncthreads();",
          "x[first + threadIdx.x];\n  if (threadIdx.x < 40) __syncthreads();", BarrierDivergence,
          "__syncthreads"),
    fault("no barrier", "turn_round", "  __syncthreads();\n", "", SharedRace, "part[threadIdx.x] =",
          "part[count"),
    fault("too little dynamic memory", "turn_round", "", "", OutOfBounds, "part[threadIdx.x] =",
          shared_memory=240),
    fault("no dynamic memory", "turn_round", "", "", OutOfBounds, "part[threadIdx.x] =", shared_memory=0),
    fault("too much dynamic memory", "turn_round", "", "", (LaunchError, TooManyResources),
          shared_memory=300_000),
    fault("too many threads", "turn_round", "", "", (LaunchError, TooManyResources), block=1056),
    fault("bins not zeroed", "histogram", "mine[bin] = 0;", "", Uninitialised, "atomicAdd(&mine"),
    fault("some bins not zeroed", "histogram", "bin < BINS; bin += blockDim.x) {\n    mine",
          "bin < 32; bin += blockDim.x) {\n    mine", Uninitialised, "atomicAdd(&mine", "atomicAdd(&counts"),
    fault("no barrier before counting", "histogram", "  }\n  __syncthreads();\n  for (int i =",
          "  }\n  for (int i =", SharedRace, "mine[bin] = 0", "atomicAdd(&mine"),
    fault("no barrier after counting", "histogram", "  }\n  __syncthreads();\n  for (int bin =",
          "  }\n  for (int bin =", SharedRace, "atomicAdd(&mine", "atomicAdd(&counts"),
    fault("shared count not atomic", "histogram", "atomicAdd(&mine[x[i]], 1)", "mine[x[i]] += 1", SharedRace,
          "mine[x[i]] += 1"),
    fault("global count not atomic", "histogram", "atomicAdd(&counts[bin], mine[bin])",
          "counts[bin] += mine[bin]", GlobalRace, "counts[bin] +="),
    fault("a bin too few", "histogram", "BINS = 48", "BINS = 47", OutOfBounds, "atomicAdd(&mine"),
    fault("place one too high", "sort_groups", "int sorted[COUNT];", "int sorted[COUNT - 1];", OutOfBounds,
          "sorted[place", values=True),
    fault("no guard at the left", "sort_groups", "place > 0 && ", "", OutOfBounds,
          "sorted[place - 1] > value"),
    fault("first place not written", "sort_groups", "int place = k;", "int place = k + 1;",
          (OutOfBounds, Uninitialised), "sorted["),
    fault("total not set", "functions", "int total = i;", "int total;", Uninitialised, "add_to(",
          "*total += value", "= total;", values=True),
]  # fmt: skip

SUMS = [
    fault("no barrier before", "reduce_interleaved", "0.0f;\n  __syncthreads();\n  for (int distance = 1",
          "0.0f;\n  for (int distance = 1", SharedRace, "values[threadIdx.x] = i < n",
          "values[threadIdx.x + distance]"),
    fault("no barrier between", "reduce_interleaved", "threadIdx.x + distance];\n    }\n    __syncthreads();",
          "threadIdx.x + distance];\n    }", SharedRace, "values[threadIdx.x + distance]"),
    fault("every thread adds", "reduce_interleaved", "threadIdx.x % (2 * distance) == 0",
          "threadIdx.x + distance < THREADS", SharedRace, "values[threadIdx.x + distance]"),
    fault("distance off", "reduce_interleaved", "threadIdx.x % (2 * distance)", "threadIdx.x % distance",
          (SharedRace, OutOfBounds), "values[threadIdx.x + distance]"),
    fault("barrier in the branch", "reduce_sequential", "threadIdx.x + half];\n    }\n    __syncthreads();",
          "threadIdx.x + half];\n    __syncthreads();\n    }", BarrierDivergence, "__syncthreads"),
    fault("half off by one", "reduce_sequential", "if (threadIdx.x < half) {  //",
          "if (threadIdx.x <= half) {  //", (SharedRace, OutOfBounds), "values[threadIdx.x + half];"),
    wrong("starts too low", "reduce_sequential",
          "half = THREADS / 2; half > 0; half /= 2) {\n    if (threadIdx.x < half) {",
          "half = THREADS / 4; half > 0; half /= 2) {\n    if (threadIdx.x < half) {"),
    fault("no guard", "reduce_sequential",
          "i < n ? x[i] : 0.0f;\n  __syncthreads();\n"
          "  for (int half = THREADS / 2; half > 0; half /= 2) {\n    if (threadIdx.x < half) {  //",
          "x[i];\n  __syncthreads();\n  for (int half = THREADS / 2; half > 0; half /= 2) {\n"
          "    if (threadIdx.x < half) {  //", OutOfBounds, "= x[i];"),
    wrong("half of the lanes", "reduce_atomic", "distance = 16;", "distance = 8;"),
    wrong("two lanes report", "reduce_atomic", "threadIdx.x % 32 == 0) atomicAdd",
          "threadIdx.x % 32 < 2) atomicAdd"),
    fault("total not atomic", "reduce_atomic", "atomicAdd(total, sum)", "*total += sum", GlobalRace,
          "*total += sum"),
    fault("shuffle in a branch", "reduce_shuffle",
          "const float sum = sum_of_warp(i < n ? x[i] : 0.0f);\n  if (lane == 0) sums",
          "float sum = 0.0f;\n  if (i < n) sum = sum_of_warp(x[i]);\n  if (lane == 0) sums", MissingLanes,
          "__shfl_down_sync", "sum = sum_of_warp(x[i])"),
    fault("no barrier", "reduce_shuffle", "sums[warp] = sum;\n  __syncthreads();", "sums[warp] = sum;",
          SharedRace, "sums[warp] = sum", "sums[lane]"),
    fault("no guard of lanes", "reduce_shuffle", "lane < THREADS / 32 ? sums[lane] : 0.0f", "sums[lane]",
          OutOfBounds, "(sums[lane])"),
    fault("a warp doesn't report", "reduce_shuffle", "if (lane == 0) sums[warp] = sum;",
          "if (lane == 0 && warp < 3) sums[warp] = sum;", Uninitialised, "sums[lane]"),
    fault("no barrier for the last", "reduce_two_stages", "== gridDim.x - 1;\n  }\n  __syncthreads();",
          "== gridDim.x - 1;\n  }", (SharedRace, Uninitialised), "last = ", "if (last"),
    wrong("last off by one", "reduce_two_stages", "== gridDim.x - 1", "== gridDim.x"),
    fault("doesn't wait for the others", "reduce_two_stages",
          "last = atomicAdd(finished, 1) == gridDim.x - 1", "last = atomicAdd(finished, 1) == 0",
          (GlobalRace, Uninitialised), "__ldcg(&partial[block])", "partial[blockIdx.x] = values[0];",
          values=True),
    fault("no fence", "reduce_two_stages",
          "    __threadfence();  // others see the sum before they see that it is counted\n", "", GlobalRace,
          "__ldcg(&partial[block])", "partial[blockIdx.x] = values[0];"),
    fault("one barrier less", "softmax",
          "= value;\n  __syncthreads();\n  for (int warp = 0; warp < WARPS; ++warp) value = fmaxf",
          "= value;\n  for (int warp = 0; warp < WARPS; ++warp) value = fmaxf", SharedRace,
          "of_warps[threadIdx.x / 32] = value", "value = fmaxf(value, of_warps[warp])"),
    fault("array used twice", "softmax", "sum_of_block(sum, sums)", "sum_of_block(sum, maxima)", SharedRace,
          "of_warps[threadIdx.x / 32] = value", "value = fmaxf(value, of_warps[warp])"),
    wrong("half of the lanes", "softmax",
          "for (int distance = 16; distance > 0; distance /= 2) {\n    value +=",
          "for (int distance = 8; distance > 0; distance /= 2) {\n    value +="),
    fault("column off by one", "softmax", "column < columns; column += THREADS) {\n    out",
          "column <= columns; column += THREADS) {\n    out", (GlobalRace, OutOfBounds),
          "out[blockIdx.x * columns"),
    wrong("wrong row", "softmax", "x + blockIdx.x * columns", "x + blockIdx.x * THREADS"),
    fault("one buffer", "scan_hillis_steele", "from = 1 - from;", "", (SharedRace, Uninitialised),
          "sums[1 - from][t] =", "sums[from][t]", values=True),
    fault("in place", "scan_hillis_steele", "sums[1 - from][t] = sums", "sums[from][t] = sums",
          (SharedRace, Uninitialised), "sums[from][t]"),
    fault("no barrier", "scan_hillis_steele", "from = 1 - from;\n    __syncthreads();", "from = 1 - from;",
          SharedRace, "sums[1 - from][t] =", "sums[from][t]"),
    fault("no guard on the left", "scan_hillis_steele", "(t >= distance ? sums[from][t - distance] : 0)",
          "sums[from][t - distance]", (OutOfBounds, SharedRace), "sums[1 - from][t] ="),
    wrong("lane off by one", "scan_warp", "lane >= distance", "lane > distance"),
    wrong("sum of the wrong lane", "scan_warp", "lane == 31", "lane == 30"),
    wrong("one warp too many", "scan_warp", "before < warp", "before <= warp"),
    fault("no barrier", "scan_warp", "sums[warp] = value;\n  __syncthreads();", "sums[warp] = value;",
          SharedRace, "sums[warp] = value", "value += sums[before]"),
    fault("never announced", "chained_scan", "    atomicExch(&ready[blockIdx.x], 1);\n", "", BudgetSpent,
          "while (atomicAdd", "}"),
    fault("waits for itself", "chained_scan", "&ready[blockIdx.x - 1]", "&ready[blockIdx.x]", BudgetSpent,
          "while (atomicAdd", "}"),
    fault("doesn't wait", "chained_scan", "while (atomicAdd(&ready[blockIdx.x - 1], 0) == 0) {\n      }\n",
          "", (GlobalRace, Uninitialised), "before = __ldcg", "sums[blockIdx.x] =", values=True),
    fault("announced too early", "chained_scan",
          "    __threadfence();  // the sum is there before it is announced\n", "", GlobalRace,
          "before = __ldcg", "sums[blockIdx.x] ="),
    fault("one barrier in the loop", "chained_scan", ": 0;\n    __syncthreads();\n", ": 0;\n", SharedRace,
          "values[t] += left", "values[t - distance]"),
    fault("tries for ever", "atomics", "while (seen != assumed)", "while (seen == assumed)", BudgetSpent,
          "seen = atomicCAS", "assumed", values=True),
    fault("maximum not atomic", "atomics", "atomicMax(&results[1], x[i]);",
          "if (x[i] > results[1]) results[1] = x[i];", GlobalRace, "results[1] = x[i]"),
    fault("some negative", "speaking", "x[i] >= 0", "x[i] > 0", AssertionFailed, "assert("),
    wrong("prints too few", "speaking", "x[i] > limit)", "x[i] > limit + 5)"),
]  # fmt: skip

MATRICES = [
    fault("no barrier before", "matmul_tiled", "    __syncthreads();  // the tiles are complete\n", "",
          SharedRace, *TILES),
    fault("no barrier after", "matmul_tiled", "    __syncthreads();  // nobody needs them any more\n", "",
          SharedRace, *TILES),
    fault("barrier in a branch", "matmul_tiled", "__syncthreads();  // nobody",
          "if (row < rows) __syncthreads();  // nobody", (BarrierDivergence, SharedRace), "__syncthreads",
          *TILES),
    fault("barrier moved up", "matmul_tiled",
          "    B_tile[y][x] = start + y < inner && column < columns ? B[(start + y) * columns + "
          "column] : 0.0f;\n"
          "    __syncthreads();  // the tiles are complete\n",
          "    __syncthreads();\n"
          "    B_tile[y][x] = start + y < inner && column < columns ? B[(start + y) * columns + "
          "column] : 0.0f;\n", SharedRace, *TILES),
    fault("A without its rows' guard", "matmul_tiled", "row < rows && start + x < inner ?",
          "start + x < inner ?", OutOfBounds, "A_tile[y][x] ="),
    fault("A without its columns' guard", "matmul_tiled", "row < rows && start + x < inner ?", "row < rows ?",
          OutOfBounds, "A_tile[y][x] ="),
    fault("B without a guard", "matmul_tiled", "start + y < inner && column < columns ?",
          "start + y < inner ?", OutOfBounds, "B_tile[y][x] ="),
    fault("C without a guard", "matmul_tiled", "if (row < rows && column < columns) {\n    C",
          "if (row < rows) {\n    C", (OutOfBounds, GlobalRace), STORE),
    fault("wrong stride of A", "matmul_tiled", "A[row * inner + start + x]", "A[row * columns + start + x]",
          OutOfBounds, "A_tile[y][x] ="),
    fault("wrong stride of C", "matmul_tiled", "C[row * columns + column]", "C[row * rows + column]",
          GlobalRace, "C[row * rows"),
    wrong("tile transposed", "matmul_tiled", "B_tile[k][x]", "B_tile[x][k]"),
    fault("a step too far", "matmul_tiled", "k < TILE", "k <= TILE", OutOfBounds, "sum += A_tile"),
    wrong("first step left out", "matmul_tiled", "int k = 0", "int k = 1"),
    wrong("overwritten", "matmul_tiled", "sum += A_tile", "sum = A_tile"),
    fault("tile too small", "matmul_tiled", "float B_tile[TILE][TILE]", "float B_tile[TILE - 1][TILE]",
          OutOfBounds, "B_tile[y][x] =", "sum +="),
    fault("column not written", "matmul_tiled", "B_tile[y][x] = start", "if (x > 0) B_tile[y][x] = start",
          Uninitialised, "sum += A_tile"),
    fault("store by one element", "matmul_register_tiled", "(&B_tile[B_row][B_column])",
          "(&B_tile[B_row][B_column + 1])", (Misaligned, OutOfBounds), "&B_tile[B_row]"),
    fault("rows of 33", "matmul_register_tiled", "float B_tile[DEPTH][TILE]", "float B_tile[DEPTH][TILE + 1]",
          Misaligned, "&B_tile["),
    fault("no barrier before", "matmul_register_tiled", "= b;\n    __syncthreads();", "= b;", SharedRace,
          "A_tile[", "B_tile["),
    fault("no barrier after", "matmul_register_tiled", "      }\n    }\n    __syncthreads();",
          "      }\n    }", SharedRace, "A_tile[", "B_tile["),
    fault("no guard of rows", "matmul_register_tiled", "row_0 + y + i < rows && ", "", OutOfBounds,
          "*target =", "float4 *target"),
    fault("a row not written", "matmul_register_tiled", "    A_tile[A_column + 3][A_row] = a.w;\n", "",
          Uninitialised, "&A_tile[k][y]"),
    wrong("components swapped", "matmul_register_tiled", "{right.x, right.y, right.z, right.w}",
          "{right.x, right.z, right.y, right.w}"),
    fault("waits for an older group", "matmul_mma", "cp.async.wait_group 1;", "cp.async.wait_group 2;",
          AsyncNotWaited, *MMA_LINES),
    fault("doesn't wait for the last", "matmul_mma", "cp.async.wait_group 0;", "", AsyncNotWaited,
          *MMA_LINES),
    fault("never waits", "matmul_mma", "cp.async.wait_group 1;", "", AsyncNotWaited, *MMA_LINES),
    fault("no barrier after the wait", "matmul_mma",
          "    __syncthreads();  // what the others have fetched has come, too\n", "",
          (AsyncNotWaited, SharedRace), *MMA_LINES),
    fault("no barrier at the end", "matmul_mma",
          "    __syncthreads();  // before the buffer is filled again\n", "", (SharedRace, AsyncNotWaited),
          *MMA_LINES),
    fault("no group", "matmul_mma", "cp.async.commit_group;", "", AsyncNotWaited, *MMA_LINES),
    fault("same buffer", "matmul_mma", "fetch(start + DEPTH, 1 - buffer)", "fetch(start + DEPTH, buffer)",
          (AsyncNotWaited, SharedRace), *MMA_LINES),
    fault("one buffer", "matmul_mma", "A_tile[2][TILE]", "A_tile[1][TILE]", (OutOfBounds, SharedRace),
          *MMA_LINES),
    fault("rows of 72 bytes", "matmul_mma", "PAD = 8;", "PAD = 4;", Misaligned, *MMA_LINES),
    fault("no guard of A", "matmul_mma, ragged", "const bool inside = row_0 + y < rows && start + x < inner;",
          "const bool inside = start + x < inner;", OutOfBounds, *MMA_LINES),
    fault("no guard of C", "matmul_mma, ragged", "if (row < rows && column < columns) {",
          "if (column < columns) {", OutOfBounds, STORE),
    wrong("fragments swapped", "matmul_mma", "b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]",
          "b[j / 2][j % 2 * 2 + 1], b[j / 2][j % 2 * 2]"),
    wrong("not transposed", "matmul_mma", "x4.trans.shared", "x4.shared"),
    fault("wrong rows", "matmul_mma", "half * 8 + lane / 4", "half * 8 + lane / 8", GlobalRace, STORE,
          values=True),
    wrong("a quarter of the columns", "matmul_mma, ragged", "lane / 16 * 8]);\n        load",
          "lane / 16 * 0]);\n        load"),
    fault("a tile too far", "matmul_wmma", " || column >= columns", "", OutOfBounds, "load_matrix_sync(b",
          "store_matrix_sync"),
    fault("wrong stride", "matmul_wmma", "A + row * inner + k, inner)", "A + row * inner + k, 2 * inner)",
          OutOfBounds, "load_matrix_sync(a"),
    wrong("column order", "matmul_wmma, bfloat16", "SCALAR, wmma::row_major> b",
          "SCALAR, wmma::col_major> b"),
]  # fmt: skip

ATTENTION = [
    fault("no barrier before", FLASH_2, "    __syncthreads();  // the tiles are complete\n", "", SharedRace,
          *V2_TILES),
    fault("no barrier after", FLASH_2, "    __syncthreads();  // before the tiles are overwritten\n", "",
          SharedRace, *V2_TILES),
    fault("no __syncwarp", FLASH_2,
          "    __syncwarp();  // a row's probabilities come from the four threads that share it\n", "",
          SharedRace, "P[row][column] =", "= P[row][column]"),
    fault("keys without a guard", FLASH_2, "inside ? k[from] : 0.0f", "k[from]", OutOfBounds,
          "K[e / HEAD_DIM]"),
    fault("queries without a guard", FLASH_2, "from < n ? q", "from < n + 1 ? q", OutOfBounds,
          "Q[e / HEAD_DIM]"),
    wrong("padding counted", FLASH_2_FULL, "key < n && (", "("),
    wrong("diagonal left out", FLASH_2, "key <= query", "key < query"),
    wrong("diagonal off by one", FLASH_2, "key <= query", "key <= query + 1"),
    wrong("sum not rescaled", FLASH_2, "    l *= keep;\n", ""),
    wrong("output not rescaled", FLASH_2, "acc[d] *= keep;", ";"),
    wrong("sums of two lanes", FLASH_2, "distance < PARTS; distance *= 2) {\n    l +=",
          "distance < 2; distance *= 2) {\n    l +="),
    wrong("last keys left out", FLASH_2, "min(n, query_0 + ROWS)", "min(n, query_0)"),
    fault("rows without a guard", FLASH_2, "  if (query < n) {", "  if (query <= n) {",
          (OutOfBounds, GlobalRace), "o[(head", "lse[head"),
    fault("P too small", FLASH_2, "P[ROWS][COLUMNS + 1]", "P[ROWS - 1][COLUMNS + 1]", OutOfBounds,
          "P[row][column]"),
    fault("sum starts anywhere", FLASH_2, "l = 0.0f, acc", "l, acc", Uninitialised, "l *= keep", "l += p",
          values=True),
    fault("half of the values", FLASH_2, "V[e / HEAD_DIM][e % HEAD_DIM] = inside",
          "if (e % 2 == 0) V[e / HEAD_DIM][e % HEAD_DIM] = inside", Uninitialised, "acc[d] += p"),
    fault("heads overlap", FLASH_2, "const int head = blockIdx.y * n;",
          "const int head = blockIdx.y * (n - 1);", GlobalRace, "o[(head", "lse[head"),
    fault("no __syncwarp", FLASH_1, "      __syncwarp();  // the threads", "      // the threads", RACES,
          "m[head + query]", "l[head + query]", "P[row][column]"),
    fault("no barrier after", FLASH_1, "      __syncthreads();  // before the tiles are overwritten\n", "",
          RACES, "Q[e / HEAD_DIM]", "K[e / HEAD_DIM]", "V[e / HEAD_DIM]", "score += Q", "weighted += P"),
    wrong("output not rescaled", FLASH_1, "l_old * keep * *target", "l_old * *target"),
    fault("two blocks a head", FLASH_1, "", "", OutOfBounds, "K[e / HEAD_DIM]", grid=2),
    fault("two blocks, one head", FLASH_1, "blockIdx.x * n", "blockIdx.x * 0", GlobalRace, "m[head + query]",
          "l[head + query]", "*target", grid=2),
    fault("no barrier before", "flash_v2_rows, 1 heads of 70, causal",
          "      __syncthreads();  // nobody needs the last tile any more\n", "", SharedRace,
          "K[e / HEAD_DIM]", "V[e / HEAD_DIM]", "score += Q", "sum += P[row]", "Q[e / HEAD_DIM]"),
    fault("no barrier at the end", "flash_v2_rows, 1 heads of 70, causal",
          "    __syncthreads();  // Q and O belong to other rows next\n", "", SharedRace, "Q[e / HEAD_DIM]",
          "O[e / HEAD_DIM]", "O[row][d]", "score += Q"),
]  # fmt: skip

WARPS = [
    fault("no __syncwarp", "warp_exchange", "  __syncwarp();\n", "", SharedRace, "values["),
    fault("lanes run over", "warp_exchange", "(lane + 1) % 32", "lane + 1", (OutOfBounds, SharedRace),
          "= values["),
    fault("shuffle by half a warp", "warp_shuffles", "const int from_3 = __shfl_sync(ALL, value, 3);",
          "int from_3 = 0;\n  if (lane < 16) from_3 = __shfl_sync(ALL, value, 3);", MissingLanes,
          "from_3 = __shfl_sync"),
    fault("from a lane outside the mask", "warp_shuffles",
          "const int crossed = __shfl_xor_sync(ALL, value, 17);",
          "int crossed = 0;\n  if (lane < 16) crossed = __shfl_xor_sync(0x0000ffff, value, 17);",
          MissingLanes, "crossed = __shfl_xor", values=True),
    wrong("wrong distance", "warp_shuffles", "__shfl_up_sync(ALL, value, 2)",
          "__shfl_up_sync(ALL, value, 3)"),
    wrong("wrong width", "warp_shuffles", "value, 9, 8)", "value, 9, 16)"),
    fault("vote of all in a branch", "warp_votes", "    __syncwarp(odd);\n  }\n",
          "    together += __any_sync(ALL, 0);\n  }\n  __syncwarp();\n", MissingLanes, "__any_sync(ALL, 0)",
          "  __syncwarp();"),
    wrong("rank with itself", "warp_votes", "(1u << lane) - 1", "(2u << lane) - 1"),
    fault("vote in a branch", "warp_votes", "const int any_large = __any_sync(ALL, value > 90);",
          "int any_large = 0;\n  if (i < n) any_large = __any_sync(ALL, value > 90);", MissingLanes,
          "any_large = __any_sync"),
    fault("match in a branch", "warp_matches", "const unsigned same = __match_any_sync(ALL, value);",
          "unsigned same = 0;\n  if (i < n) same = __match_any_sync(ALL, value);", MissingLanes,
          "same = __match_any_sync"),
    fault("mask too wide", "warp_reductions", "0x0000ffff, value);", "0x00ffffff, value);\n  __syncwarp();",
          MissingLanes, "half = __reduce_add_sync", "  __syncwarp();"),
    fault("doesn't wait for empty", "named_barriers", "      if (tile >= 2) wait_at(EMPTY + buffer);\n", "",
          (SharedRace, BarrierDivergence), "buffers[buffer]", "bar.sync", "wait_at("),
    fault("doesn't wait for full", "named_barriers", "      wait_at(FULL + buffer);\n", "",
          (SharedRace, BarrierDivergence), "buffers[buffer]", "bar.sync", "wait_at("),
    fault("counts a warp too many", "named_barriers", "BOTH = 2 * WORKERS", "BOTH = 2 * WORKERS + 32",
          BarrierDivergence, "bar.sync", "wait_at("),
    fault("full for empty", "named_barriers", "EMPTY = 3", "EMPTY = 1", (SharedRace, BarrierDivergence),
          "buffers[buffer]", "bar.sync", "wait_at("),
    fault("reports before it has read", "named_barriers",
          "      if (tile + 2 < tiles) arrive_at(EMPTY + buffer);\n",
          "      if (tile + 2 < tiles) arrive_at(EMPTY + 1 - buffer);\n", (SharedRace, BarrierDivergence),
          "buffers[buffer]", "bar.sync", "wait_at("),
]  # fmt: skip

TOGETHER = [
    fault("barrier of a warp", "sum_of_groups", "block.sync();", "warp.sync();", SharedRace, "= sum;",
          "sums[warp.thread_rank()]"),
    fault("sums of warps that aren't there", "sum_of_groups",
          "warp.thread_rank() < warp.meta_group_size() ? sums[warp.thread_rank()] : 0.0f",
          "sums[warp.thread_rank()]", Uninitialised, "sums[warp.thread_rank()]"),
    fault("count not atomic", "collect_positive", "first = atomicAdd(count, lanes.size());",
          "{ first = *count; *count = first + lanes.size(); }", GlobalRace, "*count ="),
    fault("no lock", "with_lock", "    while (atomicCAS(lock, 0, 1) != 0) {\n    }\n", "", GlobalRace,
          "*total +=", "*largest ="),
    fault("no fence", "with_lock", "    __threadfence();  // who takes the lock next sees both\n", "",
          GlobalRace, "*total +=", "*largest ="),
    fault("given back too early", "with_lock",
          "    *largest = max(*largest, sum);\n    __threadfence();  // who takes the lock next sees both\n"
          "    atomicExch(lock, 0);\n",
          "    __threadfence();\n    atomicExch(lock, 0);\n    *largest = max(*largest, sum);\n", GlobalRace,
          "*largest ="),
    fault("never given back", "with_lock", "    atomicExch(lock, 0);\n", "", BudgetSpent, "while (atomicCAS",
          "}"),
    fault("sum not zeroed", "with_lock", "  if (threadIdx.x == 0) sum = 0;\n", "", Uninitialised,
          "atomicAdd(&sum"),
    fault("zeroed by all, no barrier", "with_lock", "  if (threadIdx.x == 0) sum = 0;\n  __syncthreads();\n",
          "  sum = 0;\n", SharedRace, "sum = 0", "atomicAdd(&sum"),
    fault("no barrier", "bitonic_sort", "      }\n      __syncthreads();\n", "      }\n", SharedRace,
          "values["),
    fault("barrier too seldom", "bitonic_sort", "      __syncthreads();\n    }\n",
          "    }\n    __syncthreads();\n", SharedRace, "values["),
    fault("both put it in order", "bitonic_sort", "if (partner > t)", "if (partner != t)", SharedRace,
          "values["),
    fault("barrier in the branch", "bitonic_sort", "        }\n      }\n      __syncthreads();",
          "        }\n      __syncthreads();\n      }", (BarrierDivergence, SharedRace), "__syncthreads",
          "values["),
    wrong("always rising", "bitonic_sort", "(t & width) == 0", "true"),
    fault("memory too small", "shared_types", "", "", OutOfBounds, "doubled[t] =", shared_memory=64 * 6 - 4),
    fault("arrays overlap", "shared_types", "memory + THREADS * sizeof(__half)", "memory + THREADS",
          SharedRace, "halves[t] =", "doubled[t] ="),
    fault("start at an odd place", "shared_types", "memory + THREADS * sizeof(__half)",
          "memory + THREADS * sizeof(__half) + 2", Misaligned, "doubled[t] ="),
    fault("used anew too early", "shared_types",
          "  __syncthreads();  // from here on the memory is used anew\n", "", SharedRace, "sums[t] =",
          "const float2 pair", "const float sum"),
    fault("no barrier before the pairs", "shared_types", "2.0f * x[i];\n  __syncthreads();", "2.0f * x[i];",
          SharedRace, "halves[t] =", "doubled[t] =", "const float2 pair", "const float sum"),
    fault("different values", "shared_flags", "above = true;", "above = t % 2 == 0;", SharedRace, "above ="),
    fault("bytes not written", "shared_flags", "k < 4", "k < 3", Uninitialised, "out[t] ="),
    fault("one buffer", "one_barrier", "buffers[(tile + 1) % 2][t]", "buffers[tile % 2][t]", SharedRace,
          "buffers[tile % 2]"),
    fault("barrier after the fetch", "one_barrier",
          "    if (tile + 1 < tiles) buffers[(tile + 1) % 2][t] = x[(tile + 1) * THREADS + t];\n    sum +=",
          "    sum +=", Uninitialised, "sum += buffers"),
    fault("no barrier", "one_barrier",
          "    __syncthreads();  // this tile has come, and nobody reads the last one any more\n", "",
          SharedRace, "buffers["),
]  # fmt: skip

FAULTS = [*VECTORS, *SHARED, *SUMS, *MATRICES, *ATTENTION, *WARPS, *TOGETHER]

STEPS = """  for (int half = THREADS / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) {  // the first threads: whole warps rest
      values[threadIdx.x] += values[threadIdx.x + half];
    }
    __syncthreads();
  }
"""
STEPS_OF_A_WARP = """  for (int half = 16; half > 0 && threadIdx.x < 32; half /= 2) {
    const float other = values[threadIdx.x + half];
    __syncwarp();
    values[threadIdx.x] += other;
    __syncwarp();
  }
"""

# Changes that leave a kernel right: nobody may be blamed.
HARMLESS = [
    Change("one barrier more", "matmul_tiled", "__syncthreads();  // nobody",
           "__syncthreads(); __syncthreads();  // nobody"),
    Change("barrier in a branch that all take", "stencil", "  __syncthreads();",
           "  if (n > 0) __syncthreads();"),
    Change("barrier that votes", "stencil", "  __syncthreads();",
           "  if (__syncthreads_or(i >= n) && n < 0) return;"),
    Change("the last steps by a warp", "reduce_sequential", STEPS,
           STEPS.replace("half > 0", "half > 16") + STEPS_OF_A_WARP),
    Change("waits for everything", "matmul_mma", "cp.async.wait_group 1;", "cp.async.wait_all;"),
    Change("groups of one", "matmul_mma, ragged", "cp.async.wait_group 1;", "cp.async.wait_group 0;"),
    Change("mask of those who are there", "warp_votes", "__syncwarp(odd)", "__syncwarp(__activemask())"),
    Change("whole warps leave early", "reduce_shuffle", "  if (warp == 0) {\n",
           "  if (warp > 0) return;\n  {\n"),
    Change("threads without an element leave before the barrier", "turn_round",
           "x[first + threadIdx.x];\n", "x[first + threadIdx.x];\n  if (threadIdx.x >= count) return;\n"),
    Change("other blocks", "saxpy", "", "", {"grid": 7, "block": 33}),
    Change("blocks that have nothing to do", "vector_add", "", "", {"grid": 40}),
    Change("more dynamic memory than needed", "turn_round", "", "", {"shared_memory": 5000}),
    Change("two blocks add to one element", "histogram", "", "", {"grid": 9, "block": 96}),
    Change("everyone reads what one wrote", "softmax", "float sum = 0.0f;\n",
           "__shared__ int width;\n  if (threadIdx.x == 0) width = columns;\n  __syncthreads();\n"
           "  float sum = width - columns;\n"),
]  # fmt: skip

__all__ = ["FAULTS", "HARMLESS", "Change", "Fault", "Seeded"]
