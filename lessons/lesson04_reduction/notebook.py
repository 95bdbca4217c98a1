# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 4: reduction
#
# At the end of this hour you can
#
# - reduce many values to one with a tree, in shared memory and in the registers of a warp;
# - find divergence and bank conflicts in a kernel's counters, and remove them;
# - say why two correct float sums of the same numbers differ, and which is nearer to the truth;
# - read memory at the speed of a copy.
#
# A *reduction* makes one value of many: a sum, a maximum. You need no GPU.

# %%
import sys

sys.path.append("../..")  # the repository, where the notebook was opened without `make lab`

import numpy as np
import torch

from cuda_basics.reduction import cuda_version as cuda
from cuda_basics.reduction import numpy_version
from triton_basics import reduction as triton_version
from workbench.cuda import load, observe
from workbench.gpu import has_gpu
from workbench.report import figures, rounding, trees
from workbench.report.listings import difference, listing, table

# %% [markdown]
# ## 1. The floor
#
# A sum of $n$ floats reads each of them once and writes next to nothing, so by lesson 2's rule
#
# $$t_\text{floor} = \frac{4 n}{\text{bandwidth}}$$
#
# **Predict**, on paper, for $n = 2^{28}$, which is 1 GiB: how many milliseconds on your GPU? (A T4 has 320 GB/s.)

# %%
n = 2**28
measured = figures.results(4)  # measured now on your GPU (a minute), else the newest in benchmarks/
MISSING = "Not measured: `make bench`, on a machine with a GPU, measures and keeps it."
if measured:
    sums = {**measured, "rows": [row for row in measured["rows"] if row["task"] == "sum"]}
    copy = next(row["timing"]["copy_gb_per_s"] for row in sums["rows"] if row["timing"])
    gpu, date = measured["machine"]["gpu"], measured["machine"]["date"]
    print(f"{gpu}, {date}: a copy moves {copy:,.0f} GB/s, so the floor is {4 * n / copy / 1e6:.3f} ms")
else:
    print(MISSING)

# %% [markdown]
# ## 2. A tree in a block
#
# One thread would take $n - 1$ additions, one after the other. But $(a + b) + (c + d)$ is the same sum, and its two halves
# don't need each other. So a block of 256 threads combines pairs, then pairs of pairs: 8 rounds instead of 255.

# %%
listing(cuda.HERE / "interleaved.cu")

# %% [markdown]
# - The same file sums and finds maxima. Any *associative* operation will do, together with its *identity*, the value
#   that changes nothing: it stands in where a block reaches past the end.
# - Blocks can't wait for one another, so each writes one partial value, and the launcher launches the kernel again on
#   these, until one is left.
#
# Take the barrier out of the loop of sequential.cu, from section 3
# ([line 23](../../cuda_basics/reduction/sequential.cu#L23)):

# %%
import tempfile
from pathlib import Path

from workbench.ptx import Fault

x = torch.rand(65_536)
text = (cuda.HERE / "sequential.cu").read_text()
broken = Path(tempfile.mkdtemp()) / "sequential.cu"
broken.write_text(text.replace("    __syncthreads();  // the next round", "    // the next round"))

try:
    cuda.reduce_sequential(x, source=broken)
except Fault as fault:
    print(fault)

# %% [markdown]
# Warps run at their own pace: one reads what another hasn't written yet. On a GPU this may go well a thousand times.

# %% [markdown]
# ## 3. Who works, and on which words
#
# Which thread does which addition? Three answers, for a block of 16 threads, drawn from what they really touched:

# %%
reports, sixteen, partial = {}, torch.rand(16), torch.empty(1)
for step in ("interleaved", "strided", "sequential"):
    kernel = load(cuda.HERE / f"{step}.cu", f"reduce_{step}", {"MAXIMUM": 0, "THREADS": 16})
    with observe(trace=True) as launches:
        kernel(1, 16, (sixteen, partial, np.int32(16)))
    reports[step] = launches[0]

trees.trees(reports)

# %% [markdown]
# - **interleaved**: the thread that owns the left value adds. In each round half of a warp's lanes rest, but the warp
#   runs: it *diverges*, some lanes take the branch and some don't, until a single lane works.
# - **strided**: the first threads add, so whole warps finish early. Neighbouring lanes now touch words 2, 4, 8, … apart.
#   Shared memory has 32 *banks*, and word $w$ lies in bank $w \bmod 32$. Words of one bank come one after the other: a
#   *bank conflict*.
# - **sequential**: the first threads add, and neighbouring lanes touch neighbouring words.

# %%
difference(cuda.HERE / "strided.cu", cuda.HERE / "sequential.cu")

# %% [markdown]
# **Predict.** In strided's round 5, lanes touch words 32 apart. How often must a load wait for bank 0, with the eight
# threads that are left? Which version has the most divergent branches, and which the most instructions?

# %%
steps = ("interleaved", "strided", "sequential", "first_add", "warp_shuffle", "grid_stride")
ladder = {step: getattr(cuda, f"reduce_{step}") for step in steps}
counted, rows = ("divergent_branches", "bank_conflicts", "shared_requests", "warp_instructions"), []
for name, reduce in ladder.items():
    with observe() as launches:
        reduce(x)
    seen = [launch.counters for launch in launches]
    barriers = sum(one.instructions["bar"] for one in seen) // 32  # counted by thread; a warp has 32
    rows.append((name, barriers, *(sum(getattr(one, what) for one in seen) for what in counted)))
table(("version", "barriers", *(what.replace("_", " ") for what in counted)), rows)

# %% [markdown]
# (Eight words of one bank: seven waits.) Interleaved splits warps, strided meets conflicts, sequential does neither. Its
# barriers remain: 9 for each warp.

# %% [markdown]
# ## 4. Registers instead of shared memory
#
# **first_add**: from round 1 on, half of the threads had nothing to do. Let each load two elements and combine them on
# the way: half as many blocks, trees and partial values. In the table, every column is about half.

# %%
difference(cuda.HERE / "sequential.cu", cuda.HERE / "first_add.cu")

# %% [markdown]
# **warp_shuffle**: the lanes of a warp can read one another's registers. `__shfl_down_sync(mask, value, d)` gives each
# lane the value of the lane $d$ above it, and no memory or barrier is involved. The mask names the lanes that take part;
# all 32 must call it, so lanes past the end bring the identity. More instructions than before, since idle lanes shuffle
# too; but they wait for nobody, and of nine barriers one is left.

# %%
difference(cuda.HERE / "first_add.cu", cuda.HERE / "warp_shuffle.cu")

# %% [markdown]
# ## 5. The whole grid walks
#
# So far each block starts, loads 2 KiB, waits and dies. Instead, let the grid stop growing, and each thread walk through
# $x$ in steps of the whole grid, combining in a register. The tree comes once, at the end.

# %%
difference(cuda.HERE / "warp_shuffle.cu", cuda.HERE / "grid_stride.cu")

# %% [markdown]
# Loads are 16 bytes wide, and two of them leave before the first is needed: lesson 2's bytes in flight.
#
# A second launch combines the blocks' values. Atomic additions to one address would save it, but they come in whatever
# order the blocks finish. Does that matter?

# %% [markdown]
# ## 6. The order of additions
#
# In float32, $(a + b) + c$ and $a + (b + c)$ are rounded differently. **Predict.** Of a million numbers between 0 and 1,
# added one after the other: how many of the sum's 7 or 8 digits depend on the order?

# %%
numbers = np.random.default_rng(4).random(2**20, dtype=np.float32)
exact = numbers.sum(dtype=np.float64)
orders = {
    "as drawn": numbers,
    "backwards": numbers[::-1],
    "smallest first": np.sort(numbers),
    "largest first": np.sort(numbers)[::-1],
}
rows = [(name, float(np.cumsum(order)[-1])) for name, order in orders.items()]
rows += [("a tree", float(numpy_version.reduce_tree(numbers))), ("in float64", float(exact))]
table(("order", "sum", "error"), [(name, value, value - float(exact)) for name, value in rows], digits=3)

# %% [markdown]
# One after the other, a small number meets a sum that has grown large, and loses its last digits: up to
# $u = 2^{-24}$ of the sum, $n$ times. (Largest first ends at $2^{19}$ = 524,288 sharp: from there float32 goes in steps
# of 1/16, and numbers below 1/32 add nothing.) In a tree numbers meet their equals, and each passes only $\log_2 n$
# additions. The bounds on the relative error are $n u$ and $u \log_2 n$ (Higham, *Accuracy and Stability of Numerical Algorithms*,
# section 4.2, for positive numbers):

# %%
one_by_one, tree = [], []
generator, u, sizes = np.random.default_rng(0), 2.0**-24, 2 ** np.arange(4, 23)
for size in np.repeat(sizes, 3):
    some = generator.random(size, dtype=np.float32)
    exact = some.sum(dtype=np.float64)
    one_by_one.append((size, abs(np.cumsum(some)[-1] - exact) / exact))
    tree.append((size, abs(numpy_version.reduce_tree(some) - exact) / exact))
bounds = {r"$n\,u$": sizes * u, r"$u\,\log_2 n$": np.log2(sizes) * u}

rounding.error_growth(
    {"one after the other": one_by_one, "a tree": tree},
    {name: list(zip(sizes, bound, strict=True)) for name, bound in bounds.items()},
)

# %% [markdown]
# - The checker can't ask for equal sums. It allows as many roundings as the longest chain of additions has.
# - With atomics each run may differ in its last digits, and a bug can hide there. With two launches, the order depends on
#   $n$ alone.
# - A maximum isn't rounded: it must be exact. But `fmaxf` drops NaN, so `combine` tests for it.

# %%
print("the same bits twice:", torch.equal(cuda.reduce_grid_stride(x), cuda.reduce_grid_stride(x)))
print("the maximum:", torch.equal(cuda.reduce_grid_stride(x, "max"), x.amax()))

# %% [markdown]
# ## 7. Rows, and Triton
#
# Softmax will need a maximum and a sum for each row of a table. A row is one warp's work if it is short, and a block's
# if it is long: the same walk, the same trees, no second launch.

# %%
listing(cuda.HERE / "rows.cu")

# %% [markdown]
# In Triton the tree is `tl.sum` or `tl.max`; how lanes and warps share it is the compiler's affair. What remains yours
# is the mask, and what a masked place counts as.

# %%
listing(Path(triton_version.__file__), part="reduce_kernel")

# %%
listing(Path(triton_version.__file__), part="reduce_rows_kernel")

# %%
device = "cuda" if has_gpu() else "cpu"
rows = torch.rand(50, 3000, device=device)
print("CUDA's and Triton's row maxima agree:", torch.equal(cuda.reduce_rows(rows, "max"), rows.amax(1)),
      torch.equal(triton_version.reduce_rows(rows, "max"), rows.amax(1)))  # fmt: skip

# %% [markdown]
# ## 8. Measured
#
# **Predict.** All versions move nearly the same bytes, so by bytes alone all would reach the copy. Which ones do?

# %%
figures.bandwidth_bars(sums, rival="PyTorch, x.sum()") if measured else print(MISSING)

# %% [markdown]
# On an H100, strided is slowest: its conflicts cost more than interleaved's divergence. Sequential has neither, and gains
# little, as all three wait at nine barriers. What pays is to do less: half as many blocks, one barrier, and in the end
# hardly anything but reading. (Which may pass the line: a copy writes half of its bytes.)
#
# ## 9. Your turn
#
# `exercise.cu` has four blanks: the tree of section 3, the maximum, the shuffles and the walk. `exercise.py` has two in
# Triton, for a vector and for rows. Fill them in and run
#
# ```
# make check-lesson4
# ```
#
# `make hint-lesson4` gives one hint at a time.
#
# ### Three questions you can now answer
#
# **a.** Lanes of a warp read words 8 apart from shared memory. How many must one bank deliver, one after the other?
#
# <details><summary>Answer</summary>
#
# The 32 words lie in 4 banks: 8 in each.
#
# </details>
#
# **b.** What is the identity of a product, and of a minimum?
#
# <details><summary>Answer</summary>
#
# 1, and infinity.
#
# </details>
#
# **c.** A colleague's sum of $2^{24}$ random floats differs from yours by $10^{-7}$ of its value. Who is wrong?
#
# <details><summary>Answer</summary>
#
# Perhaps nobody: a tree of 24 rounds may be off by $24 \cdot 2^{-24} \approx 1.4 \cdot 10^{-6}$. Compare both with a sum
# in float64.
#
# </details>
