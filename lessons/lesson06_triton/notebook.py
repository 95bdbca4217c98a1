# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 6: triton
#
# At the end of this hour you can
#
# - write kernels in terms of blocks: load, compute, store, with masks for what isn't there;
# - fuse a softmax, and say beforehand what that is worth;
# - write a matrix product that uses tensor cores, and choose the order of its tiles;
# - read from a compiled kernel what the compiler did for you.
#
# You need no GPU: Triton's interpreter runs the kernels, and its compiler compiles them for GPUs that aren't here.

# %%
import sys

sys.path.append("../..")  # the repository, where the notebook was opened without `make lab`

import torch

from triton_basics import matmul, numpy_version
from workbench.gpu import has_gpu
from workbench.lessons import ROOT
from workbench.report import figures, listings, tiles
from workbench.triton.compiler import compiled_apart

device = "cuda" if has_gpu() else "cpu"
CUDA, TRITON = ROOT / "cuda_basics", ROOT / "triton_basics"

# %% [markdown]
# ## 1. Blocks instead of threads
#
# What does the compiler do for you? Lesson 2's vector add, in both languages:

# %%
listings.listing(CUDA / "vector_add" / "plain.cu")

# %%
listings.listing(TRITON / "vector_add.py", part="vector_add_kernel")

# %% [markdown]
# In CUDA you say what a thread does to its element. In Triton a *program* works on whole blocks, and the compiler decides
# which thread holds which elements, how wide the loads are, what goes through shared memory, and where threads wait.
# There is no `threadIdx` and no `__syncthreads()`. What stays yours: which block, what is masked, and what to read only
# once.
#
# ## 2. A row in a block
#
# $$y_j = \frac{e^{x_j - m}}{\sum_k e^{x_k - m}}, \qquad m = \max_k x_k$$
#
# PyTorch could do it in five operations. **Predict**: how many times does each read or write a matrix of N elements?
# How many times must one kernel do so at least? What speed-up does that promise, if bytes are all that counts?

# %%
passes = {"m = x.max": 1, "d = x - m": 2, "e = exp(d)": 2, "l = e.sum": 1, "y = e / l": 2}
rows = [(name, count) for name, count in passes.items()]
listings.table(("operation", "times N elements"), [*rows, ("all five", sum(passes.values())), ("fused", 2)])

# %% [markdown]
# One kernel that keeps the row while it works moves a quarter of the bytes. In Triton a row is a block:

# %%
listings.listing(TRITON / "softmax.py", part="softmax_kernel")

# %% [markdown]
# A block's size is a power of 2, a row's isn't: the mask covers the rest. Short rows share a program.
#
# The load has an `other`, the value where the mask is false, in
# [line 32 of softmax.py](../../triton_basics/softmax.py#L32). **Predict** what happens if it is 0: which rows go wrong, and
# are they too large or too small?

# %%
import tempfile
from dataclasses import replace
from pathlib import Path

from lessons.lesson06_triton.check import LESSON
from workbench.check.exercise import function_from
from workbench.check.lesson import Implementation
from workbench.check.outcome import Outcome
from workbench.check.run import run_cases

broken = Path(tempfile.mkdtemp()) / "softmax.py"
text = (TRITON / "softmax.py").read_text()
broken.write_text(text.replace('mask=inside, other=-float("inf")', "mask=inside, other=0.0"))

# %%
first = replace(LESSON.tasks[0], cases=LESSON.tasks[0].cases[:9])
submitted = Implementation("triton", function_from(broken, "softmax"), "triton")
told = run_cases(first, submitted, device, outcome=Outcome(first.name, "broken"))
print(f"{told.cases_right} of {told.cases} cases are right. {told.case}: {told.what_happened}")
print(f"Likely mistake: {told.mistake}. {told.mistake_sentence}")

# %% [markdown]
# Rows of 256 are right: they fill their block. That is why the checker asks for 100 and 781 columns.
#
# The CUDA version writes out what Triton hid: a loop over packs of 16 bytes, shuffles, shared memory, a barrier.

# %%
listings.listing(CUDA / "softmax" / "fused.cu")

# %% [markdown]
# It takes rows of any length, because it reads each twice. Triton's block has to fit into a program's registers, so rows
# longer than 32,768 go to a second kernel, which also reads them twice: three times N elements. Lesson 7 is about its loop.

# %%
listings.listing(TRITON / "softmax.py", part="long_softmax_kernel")

# %% [markdown]
# ## 3. A tile a program
#
# Lesson 3's shared tile walks along K: copy two tiles, wait, multiply, wait. So does this, without the copying and
# waiting:

# %%
listings.listing(TRITON / "matmul.py", part="matmul_kernel")

# %% [markdown]
# - **Pointers** to a whole tile are a table of addresses; one addition moves all of them to the next tile.
# - **The end of K** is masked with zeros, which add nothing.
# - **The edges** of c need no mask inside the loop: `% M` reads some row that exists, and its results aren't stored.
# - **`tl.dot`** adds a product of tiles to `total`, in float32 whatever the inputs are. `"ieee"` keeps float32 inputs
#   whole: a GPU's default drops 13 of their 23 bits of mantissa.

# %%
a, b = (torch.randn(300, 200) + 0.5).half().to(device), (torch.randn(200, 170) + 0.5).half().to(device)
worst = (matmul.matmul(a, b).double() - a.double() @ b.double()).abs().max()
print(
    f"300 x 200 by 200 x 170: largest error {worst:.3f}, PyTorch's {((a @ b) - a.double() @ b.double()).abs().max():.3f}"
)

# %% [markdown]
# ## 4. Which tile is mine?
#
# A tile of c needs a strip of a (rows) and a strip of b (columns). Programs that run at the same time can share strips
# in L2, if their tiles lie together. Here 16 programs run at once:

# %%
orders = {f"GROUP = {group}": numpy_version.tile_order(8, 8, group) for group in (1, 4)}
tiles.wave_map(orders, programs=16)

# %% [markdown]
# The order costs a few integer operations:

# %%
listings.listing(TRITON / "matmul.py", part="tile_of")

# %% [markdown]
# **Predict.** 8192 x 8192 matrices have 64 x 32 tiles of 128 x 256, and an H100 runs 132 programs at a time. Which GROUP
# reads the fewest bytes, if each wave fetches each of its strips once?

# %%
found = {}
for group in (1, 2, 4, 8, 16, 32):
    waves = tiles.strips(numpy_version.tile_order(64, 32, group), programs=132)
    found[group] = sum(of_a * 128 + of_b * 256 for of_a, of_b in waves) * 8192 * 2 / 1e9

results = figures.results(6)  # measured now on your GPU (a minute), else the newest in benchmarks/
more = results.get("measured") if results else None
rates = {row["group"]: row["tflop_per_s"] for row in more["groups"]} if more else {}
where = f"{results['machine']['gpu']}, {results['machine']['date'][:10]}" if results else ""
tiles.group_bars(found, rates, where, "strips that all waves read, counted")

# %% [markdown]
# Groups of 2 and 4 gain nothing: a wave is still as wide as c. Whether fewer bytes mean less time depends on what the
# kernel waits for: at 8192 these bytes take less than half as long as the arithmetic.
#
# ## 5. While it is in registers
#
# A network rarely wants a b alone. The leaky ReLU multiplies elements below zero by a small slope. **Predict** what it
# costs as a kernel of its own at 8192 x 8192 in bfloat16, at 3 TB/s, beside a product of 1.6 ms.

# %%
moved = 2 * 2 * 8192**2
print(
    f"read and written once: {moved / 1e6:.0f} MB, {moved / 3e12 * 1e3:.2f} ms; inside the product's kernel: no byte"
)

# %% [markdown]
# `total` is still in registers when the loop ends, so the *epilogue* is one line before the store.
#
# ## 6. What the compiler did
#
# **Predict**: for which of these does `tl.dot` become tensor-core instructions? (float32 is asked for in full precision.)

# %%
launch = "import torch\nfrom triton_basics.{0} import {0}\n{0}(*torch.empty({1}, 512, 512, dtype=torch.{2}))"
columns = ("registers", "shared_memory", "local_memory", "mma.sync", "wgmma", "cp.async")
rows = []
for name, inputs, dtype in (("softmax", 1, "float32"), ("matmul", 2, "float16"), ("matmul", 2, "float32")):
    apart = compiled_apart(launch.format(name, inputs, dtype), ("sm_80", "sm_90"))
    for target, kernels in apart.items():
        (seen,) = kernels.values()
        rows.append((f"{name}, {dtype}", target, *(seen[column] for column in columns)))
listings.table(("kernel", "for", *columns), rows)

# %% [markdown]
# One source, three machines: `mma.sync` by a warp on sm_80, `wgmma` by four warps straight from shared memory on sm_90,
# ordinary multiply-adds for float32. `cp.async` fetches the next tiles while these are multiplied: you asked for that with
# `num_stages`. No local memory: nothing was spilled. In lessons 11 and 17 you write these instructions yourself.
#
# ## 7. Measured
#
# Tile sizes, warps and stages decide how fast the result is, and nobody computes the best ones on paper. `triton.autotune`
# tries a list once for each new size and keeps the winner. The first call pays: it compiles and times them all.

# %%
MISSING = "Not measured: `make bench`, on a machine with a GPU, measures and keeps it."
if more:
    best = ", ".join(f"{name} {value}" for name, value in more["best"].items() if value)
    print(
        f"{where}: trying {more['configurations']} compiled kernels took {more['tuning_seconds']:.1f} s; chosen: {best}"
    )
    product = next(row["timing"] for row in results["rows"] if row["task"] == "matmul in Triton")
    print(
        f"bfloat16, 8192: {product['tflop_per_s']:.0f} TFLOP/s, {product['times_pytorch']:.2f} times PyTorch's speed"
    )
else:
    print(MISSING)

# %% [markdown]
# And the softmax? **Predict** the line's shape: where does it fall, and to what part of a copy?

# %%
if more:
    lines = {
        name: {row["columns"]: row[name] for row in more["softmax"]}
        for name in ("Triton", "CUDA", "torch.softmax")
    }
tiles.rate_lines(lines, more["copy_gb_per_s"], where) if more else print(MISSING)

# %% [markdown]
# ## 8. Your turn
#
# `exercise.py` has four blanks: `softmax`, `tile_of`, `matmul` and `leaky_relu`. Fill them in and run
#
# ```
# make check-lesson6
# ```
#
# `make hint-lesson6` gives one hint at a time.
#
# ### Three questions you can now answer
#
# **a.** A layer norm reads x, finds mean and variance of each row, and writes y. Fused, rows of 1,024: how many bytes an
# element in float16?
#
# <details><summary>Answer</summary>
#
# Four: the row fits a block, so it is read once and written once, 2 bytes each.
#
# </details>
#
# **b.** Why must the softmax mask with $-\infty$ and the product with 0?
#
# <details><summary>Answer</summary>
#
# What is added must change nothing: $-\infty$ is never the maximum and its exp is 0; in a product, 0 adds 0.
#
# </details>
#
# **c.** A colleague's product runs more than ten times slower in float32 than in float16, and its PTX has no `mma`. What happened?
#
# <details><summary>Answer</summary>
#
# Full float32 precision has no tensor-core instruction. TF32 has one, with 10 bits of mantissa instead of 23.
#
# </details>
