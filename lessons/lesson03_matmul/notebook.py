# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 3: matmul
#
# At the end of this hour you can
#
# - tell from operations and bytes what may limit a kernel;
# - use each loaded number many times: from shared memory, then from registers;
# - place barriers, and say what happens without them;
# - read nine kernels as differences, and predict what each step gains.
#
# You need no GPU. The times shown come from a GPU named beside them.

# %%
import sys

sys.path.append("../..")  # the repository, where the notebook was opened without `make lab`

import tempfile
from pathlib import Path

import numpy as np
import torch

from cuda_basics.matmul import cuda_version as cuda
from workbench.cuda import observe
from workbench.ptx import Fault
from workbench.report import figures, ladder, listings, patches

# %% [markdown]
# ## 1. How often is each number used?
#
# $C = A B$ with $A$ $(M, K)$ and $B$ $(K, N)$ takes $2MNK$ operations: each of the $MN$ elements of $C$ is a sum of $K$
# products. Its matrices take $4\,(MK + KN + MN)$ bytes in float32. Operations over bytes is the *arithmetic intensity*;
# for square matrices it is
#
# $$\frac{2n^3}{4 \cdot 3n^2} = \frac{n}{6} \text{ operations a byte.}$$
#
# **Predict** for $n = 4096$: how long does the arithmetic take on your GPU, and how long would it take to move each
# matrix once?

# %%
n = 4096
sheets = {
    "T4": (8.1, 320),
    "A100": (19.5, 2039),
    "RTX 4090": (82.6, 1008),
    "H100": (67, 3350),
    "H200": (67, 4800),
}
rows = [
    (gpu, 2 * n**3 / tflops / 1e9, 12 * n**2 / bandwidth / 1e6) for gpu, (tflops, bandwidth) in sheets.items()
]
print(f"{2 * n**3 / 1e9:.0f} billion operations, {12 * n**2 / 1e6:.0f} million bytes")
listings.table(("GPU, data sheet", "arithmetic, ms", "bytes, ms"), rows, digits=2)

# %% [markdown]
# The arithmetic takes far longer, so a good kernel is *compute-bound*. But that counts each number's journey once, and
# each is needed $n$ times. Where does it wait in between? Every step of this lesson answers with a place that is nearer.

# %% [markdown]
# ## 2. Whose element, and in what order
#
# One element of $C$ a thread, and no thought about order:

# %%
listings.listing(cuda.HERE / "naive.cu")

# %%
listings.difference(cuda.HERE / "naive.cu", cuda.HERE / "coalesced.cu")

# %% [markdown]
# Only x and y change places. In the [load of A](../../cuda_basics/matmul/naive.cu#L15), neighbouring threads of `naive`
# are a whole row apart; in `coalesced` they want the same element.
#
# **Predict.** How many sectors does a warp's load of A take, in each?

# %%
a, b = torch.rand(128, 64) + 0.5, torch.rand(64, 256) + 0.5
seen = {}
for name, matmul in cuda.STEPS.items():
    with observe(trace=True) as launches:
        right = torch.allclose(matmul(a, b), a @ b, rtol=1e-5)
    seen[name] = launches[0]
    print(f"{name:17} {'equal to a @ b' if right else 'WRONG'}")


# %%
traced, small = {}, torch.rand(128, 32)
for name, matmul in cuda.STEPS.items():
    with observe(trace=True) as launches:
        matmul(small, small.T.contiguous())
    traced[name] = launches[0]

figures.sector_map({name: traced[name] for name in ("naive", "coalesced")}, "A")

# %% [markdown]
# ## 3. A tile in shared memory
#
# `coalesced` still asks global memory for two numbers a product. But the 32 x 32 threads of a block need only 32 rows of
# A and 32 columns of B. They can fetch them together, a tile at a time, into *shared memory*, which all threads of a
# block read and write. With one number of A and one of B a thread, a tile is 32 columns of A and 32 rows of B.

# %%
listings.difference(cuda.HERE / "coalesced.cu", cuda.HERE / "shared_tile.cu")

# %% [markdown]
# - Each thread loads one element of either tile, and each element serves 32 threads.
# - Past the end, a tile holds zeros, which add nothing. Every thread takes part until the end, because
# - a *barrier*, `__syncthreads()`, must be reached by all threads. The first one says: all has been loaded. The second
#   one: all has been read.
#
# **Predict** what goes wrong without the second.

# %%
broken = Path(tempfile.mkdtemp()) / "shared_tile.cu"
text = (cuda.HERE / "shared_tile.cu").read_text()
broken.write_text(text.replace("__syncthreads();  // everybody", "// everybody"))

try:
    cuda.matmul_shared_tile(a, b, source=broken)
except Fault as fault:
    print(fault)

# %% [markdown]
# On a GPU the result would often be right: such a mistake may stay hidden until it matters.
#
# **Predict.** How many times fewer bytes does `shared_tile` move than `coalesced`?

# %%
needed = 4 * (a.numel() + b.numel() + a.shape[0] * b.shape[1])
rows = [
    (
        name,
        c.global_requests,
        c.bytes_moved // 1000,
        c.bytes_moved / needed,
        c.shared_requests,
        c.bank_conflicts,
    )
    for name, c in ((name, report.counters) for name, report in seen.items())
]
header = ("step", "global requests", "kB moved", "moved / needed", "shared requests", "bank conflicts")
listings.table(header, rows)

# %% [markdown]
# ## 4. Sums in registers
#
# From here on shared memory is what is asked too often: `shared_tile` reads two numbers from it for each product. A
# thread that computes 8 elements of a column uses each number of B 8 times, from a register:

# %%
listings.difference(cuda.HERE / "shared_tile.cu", cuda.HERE / "register_tile_1d.cu")

# %% [markdown]
# With 8 x 8 elements, 16 numbers serve 64 products:

# %%
listings.difference(cuda.HERE / "register_tile_1d.cu", cuda.HERE / "register_tile_2d.cu")

# %% [markdown]
# How fast can each step be? A multiprocessor of an H100, H200 or RTX 4090 multiplies and adds for 4 warps in each clock
# (of a T4 or A100: for 2), and starts 4 instructions. In the same clock its memory unit, for global and shared memory together, serves one *line* of 128 bytes.
# Count, for each multiply-add of a warp, the lines $\ell$ and the instructions $i$. Then no kernel is faster than
#
# $$\text{peak} \cdot \min\left(\frac{1}{4\,\ell},\ \frac{1}{i}\right).$$


# %%
def line_clocks(report):
    """Clocks of the memory unit: one for each line of a global request, one for each wavefront of shared memory."""
    lines = sum(
        np.unique((access.threads // 32 << 40) + access.offsets // 128).size
        for access in report.trace
        if access.space == "global"
    )
    return lines + report.counters.shared_wavefronts


# %%
limits, rows = {}, []
for name, report in seen.items():
    multiply_adds = a.numel() * b.shape[1] / 32  # of warps
    lines, instructions = (
        line_clocks(report) / multiply_adds,
        report.counters.warp_instructions / multiply_adds,
    )
    limits[name] = min(1 / (4 * lines), 1 / instructions)
    rows.append((name, lines, instructions, f"{100 * limits[name]:.1f} %"))
listings.table(("step", "lines", "instructions", "at most, of the peak"), rows, digits=2)

# %% [markdown]
# Take these as estimates: they count PTX, and the last compiler may still join neighbouring loads into one.
#
# ## 5. Sixteen bytes at a time, and a part for each warp
#
# Joining loads can be left to luck or done by hand. `float4` moves 16 bytes, as in lesson 2. For A that needs numbers of
# one column side by side, so its tile is *transposed* on the way in:

# %%
listings.difference(cuda.HERE / "register_tile_2d.cu", cuda.HERE / "vectorised.cu")

# %% [markdown]
# If K or N isn't a multiple of 4, rows don't start at multiples of 16 bytes: the launcher then compiles the file with
# `ALIGNED=0`, and elements go one by one.
#
# Which elements does a *warp* compute? A part of $r$ rows and $c$ columns needs $r + c$ numbers for $rc$ products, so
# wide and flat is bad. Dark: what lane 0 computes.

# %%
del (
    traced["shared_tile"],
    traced["register_tile_2d"],
    traced["pipelined"],
)  # as coalesced, vectorised, warp_tile
patches.patches(traced, "C", columns=128)

# %%
listings.difference(cuda.HERE / "vectorised.cu", cuda.HERE / "warp_tile.cu")

# %% [markdown]
# The lanes of `warp_tile` take 4 x 4 elements here and there, so that the 16 bytes of neighbouring lanes are neighbours
# in shared memory. That is what ends nearly all bank conflicts in section 3's table.
#
# ## 6. Nobody waits
#
# Between two barriers, all threads wait for global memory, and nothing is multiplied. With several tiles in shared
# memory, the next ones can be on their way while these are used; and with room for two k in registers, so can the next
# elements:

# %%
listings.difference(cuda.HERE / "warp_tile.cu", cuda.HERE / "pipelined.cu")

# %% [markdown]
# One barrier a tile is enough now: the tiles that are overwritten are those that everybody left before it.
#
# The last step is small to read. It took a sweep over tile sizes to find, and most of the 255 registers that a thread
# can have:

# %%
listings.difference(cuda.HERE / "pipelined.cu", cuda.HERE / "tuned.cu")

# %% [markdown]
# ## 7. Measured
#
# **Predict** from section 4's table: where will the steps be far below their limit, and why?

# %%
measured = figures.results(3)  # measured now on your GPU (a minute), else the newest in benchmarks/
MISSING = "Not measured: `make bench`, on a machine with a GPU, measures and keeps it."
gpu = measured["machine"]["gpu"] if measured else ""
peak = next((tflops for name, (tflops, _) in sheets.items() if name in gpu), None)
names = [f"cuda/{name}" for name in cuda.STEPS]
ladder.ladder(measured, names, pytorch="PyTorch (cuBLAS)", peak=peak) if measured else print(MISSING)

# %%
if measured:
    timed = {row["name"]: row["timing"]["tflop_per_s"] for row in measured["rows"] if row["timing"]}
    reached = {name: timed[f"cuda/{name}"] for name in cuda.STEPS if f"cuda/{name}" in timed}
    share = {name: f"{100 * rate / peak:.1f} %" if peak else "?" for name, rate in reached.items()}
    rows = [(name, f"{100 * limits[name]:.1f} %", share[name], rate) for name, rate in reached.items()]
    shown = listings.table(("step", "at most, of the peak", "measured", "TFLOP/s"), rows)
else:
    shown = listings.Markdown(MISSING)
shown

# %% [markdown]
# On an H100:
#
# - `naive` stands on its limit: 33 lines for one multiply-add leave less than 1 % of the peak.
# - `shared_tile` and both register tiles pass their estimate. The last compiler joined loads of neighbouring numbers;
#   `vectorised` no longer leaves that to luck.
# - `vectorised` and `warp_tile` stay far below: the count knows no waiting. What `pipelined` gains is that waiting.
# - `tuned` ends near cuBLAS, which stays well below the data sheet itself.
#
# A large tile has its price: for $n = 1024$ there are 32 tiles of 128 x 256, and an H100 has 132 multiprocessors.
#
# ## 8. Your turn
#
# `exercise.cu` has three blanks: `coalesced`, `shared_tile` and `register_tile_1d`. Fill them in and run
#
# ```
# make check-lesson3
# ```
#
# Leave a barrier out and see which two lines it names. `make hint-lesson3` gives one hint at a time.
#
# ### Three questions you can now answer
#
# **a.** A block computes a tile of 64 x 64 by way of shared memory. How many bytes of A and B does the whole product
# load, for $n = 4096$?
#
# <details><summary>Answer</summary>
#
# Each of the $64^2$ blocks loads 64 rows of A and 64 columns of B: $64^2 \cdot 2 \cdot 64 \cdot 4096 \cdot 4$ bytes, 8.6 GB.
#
# </details>
#
# **b.** A thread keeps 4 x 4 sums. How many numbers does it read from shared memory for each product?
#
# <details><summary>Answer</summary>
#
# $8 / 16$: half a number. With 8 x 8 it is a quarter.
#
# </details>
#
# **c.** Why may no thread of `shared_tile` return early, not even one without an element of C?
#
# <details><summary>Answer</summary>
#
# It loads elements of the tiles for others, and all threads of a block must reach each barrier.
#
# </details>
