# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 7: online softmax
#
# At the end of this hour you can
#
# - compute a softmax that never overflows, in three passes over memory, in two, and in one;
# - keep a row's statistics $(m, l)$ up to date while the row passes by;
# - merge the statistics of any parts of a row, in any order: everything from here to the last lesson rests on this;
# - say what a log-sum-exp is for.
#
# You need no GPU.

# %%
import sys

sys.path.append("../..")  # the repository, where the notebook was opened without `make lab`

from functools import reduce
from pathlib import Path

import numpy as np
import torch

from flash_attention.softmax import cuda_version, numpy_version, triton_version
from workbench.cuda import observe
from workbench.report import figures, merges
from workbench.report.listings import difference, listing, table

# %% [markdown]
# ## 1. Why the maximum is subtracted
#
# Softmax makes weights of scores: positive, and together 1.
#
# $$y_j = \frac{e^{x_j}}{\sum_k e^{x_k}}$$
#
# **Predict.** What does this formula give in float32 for the row (1, 2, 3)? For (101, 102, 103)? For (−201, −202, −203)?

# %%
rows = []
for first in (1, 101, -203):
    x = np.arange(first, first + 3, dtype=np.float32)
    with np.errstate(all="ignore"):
        plain = np.exp(x) / np.exp(x).sum()
    safe = np.exp(x - x.max()) / np.exp(x - x.max()).sum()
    rows.append((str(x.tolist()), np.array2string(plain, precision=3), np.array2string(safe, precision=3)))
table(("row", "by the formula", "with the maximum subtracted"), rows)

# %% [markdown]
# float32 ends at $3.4 \cdot 10^{38}$, which is $e^{88.7}$, and nothing is left below $e^{-104}$. But $e^{x - m}$ over its sum
# is the same fraction for any $m$. With $m$ the row's maximum, no exponential exceeds 1, and the sum $l$ is at least 1.
#
# The denominator itself is worth keeping, and its logarithm fits where it doesn't:
#
# $$\text{LSE} = \log \sum_k e^{x_k} = m + \log l$$
#
# is the *log-sum-exp* of the row. With it, $y_j = e^{x_j - \text{LSE}}$: lesson 13 recomputes a softmax that way.
#
# ## 2. Three passes, then two
#
# To subtract the maximum, you must know it. So the safe softmax passes over the row three times:

# %%
listing(Path(numpy_version.__file__), part="softmax_three_pass")

# %% [markdown]
# **Predict.** For a matrix of $n$ float32 numbers that no cache holds: how many bytes does a kernel with three passes
# move, reads and writes together? What is the least that any softmax must move?
#
# The second pass waits only for the maximum. What if we didn't wait? Keep the maximum *so far*, $m$, and the sum $l$ of
# $e^{x - m}$ so far. When a larger element comes, $l$ was made with the wrong $m$, and one factor mends all of it:
#
# $$l_\text{new} = l \cdot e^{m - m_\text{new}} + e^{x - m_\text{new}}$$

# %%
listing(Path(numpy_version.__file__), part="softmax_online")

# %% [markdown]
# (`finite(m)` is $m$, with 0 in place of −inf. A mask hides scores as −inf, and −inf − −inf would be NaN. A row of −inf alone
# gets 0 here, and an LSE of −inf. PyTorch's softmax gives NaN for it; attention needs the 0.)
#
# Here is a row as it passes by. Where $m$ moves, $l$ falls:

# %%
x = np.random.default_rng(7).standard_normal(40) + np.linspace(0, 3, 40)
parts = [numpy_version.statistics(x[None, :end]) for end in range(1, len(x) + 1)]
m, l = (np.array([float(part[i][0]) for part in parts]) for i in (0, 1))
merges.running(x, m, l)

# %% [markdown]
# **Break it.** Leave the factor out in
# [softmax_online](../../flash_attention/softmax/numpy_version.py#L35), and the sum mixes terms of several maxima. The
# checker names this mistake:

# %%
import tempfile

from workbench.check.exercise import function_from
from workbench.check.lesson import Implementation
from workbench.check.outcome import Outcome
from workbench.check.run import run_cases
from workbench.lessons import load

text = Path(numpy_version.__file__).read_text()
broken = Path(tempfile.mkdtemp()) / "broken.py"
broken.write_text(text.replace("l = l * np.exp(m - finite(m_new)) + np.exp", "l = l + np.exp"))
wrong = Implementation("broken", function_from(broken, "softmax_online"), "numpy")
said = run_cases(load(7).tasks[0], wrong, "cpu", outcome=Outcome("softmax", "broken"))
print(f"{said.case}: {said.what_happened}\n\n{said.mistake}: {said.mistake_sentence}")

# %% [markdown]
# ## 3. The merge
#
# The online update is a special case of something better. An element $x$ alone has the statistics $(x, 1)$. The
# statistics of any two parts of a row give those of both together:
#
# $$(m_a, l_a) \oplus (m_b, l_b) = \left(m,\; l_a e^{m_a - m} + l_b e^{m_b - m}\right), \quad m = \max(m_a, m_b)$$

# %%
listing(Path(numpy_version.__file__), part="merge")

# %% [markdown]
# $\oplus$ is associative and commutative, and $(-\infty, 0)$ changes nothing. So parts may be merged in any order, and in a
# tree, like the sums of lesson 4. Seven parts of the row above:

# %%
levels = [[numpy_version.statistics(part[None]) for part in np.array_split(x, 7)]]
while len(levels[-1]) > 1:
    pairs = [levels[-1][i : i + 2] for i in range(0, len(levels[-1]), 2)]
    levels.append([reduce(numpy_version.merge, pair) for pair in pairs])
shown = [[(float(m[0]), float(l[0])) for m, l in level] for level in levels]
merges.merge_tree(shown, [f"x[{part[0]}:{part[-1] + 1}]" for part in np.array_split(np.arange(40), 7)])

# %% [markdown]
# **Predict.** The seven parts have $7! = 5040$ orders. How many different results do they give, and how far apart?

# %%
from itertools import permutations

results = [reduce(numpy_version.merge, order) for order in permutations(levels[0])]
sums = np.array([float(l[0]) for m, l in results])
print(
    f"{len(set(sums))} different l; they spread over {np.ptp(sums):.1e}, float64 steps by {np.spacing(sums[0]):.1e}"
)

# %% [markdown]
# Rounding apart, they are one. This is why attention can be computed in tiles (lessons 9 and 10), split over blocks
# (lesson 15) or over machines (lesson 19): each finds $(m, l)$ of its keys, and they are merged when they meet.
# `make explore` writes a page in which you step through attention tile by tile and watch $m$, $l$ and the factor change.
#
# ## 4. In CUDA and in Triton
#
# In CUDA, threads have parts, and the tree runs through shuffles and shared memory. What changes from three passes to two:

# %%
difference(cuda_version.HERE / "three_pass.cu", cuda_version.HERE / "online.cu")

# %% [markdown]
# In Triton a program's part is a block of columns; what lies past the row's end is −inf, which adds nothing:

# %%
listing(Path(triton_version.__file__), part="softmax_online_kernel")

# %% [markdown]
# ## 5. One pass
#
# The output needs $m$ and $l$ of the whole row, so a second look at the row is unavoidable. A second trip to memory is
# not: a thread can keep its elements in registers.

# %%
difference(cuda_version.HERE / "online.cu", cuda_version.HERE / "one_pass.cu")

# %% [markdown]
# A block of 1024 threads keeps 32,768 columns; longer rows are handed to the version with two passes. Now the bytes: your
# prediction was $4n$ elements for three passes, $3n$ for two, $2n$ for one?

# %%
x, rows = torch.rand(16, 3000), []
for version in ("three_pass", "online", "one_pass"):
    with observe() as launches:
        getattr(cuda_version, f"softmax_{version}")(x)
    seen = launches[0].counters
    rows.append(
        (
            version,
            seen.global_load_bytes / x.nbytes,
            seen.global_store_bytes / x.nbytes,
            seen.warp_instructions,
        )
    )
table(("version", "matrix read, times", "written, times", "instructions"), rows, digits=2)

# %% [markdown]
# ## 6. Measured
#
# **Predict.** Three passes take twice as long as one, if each pass goes to memory. Rows of 4,096 floats are 16 kB; a
# multiprocessor of an H100 has 256 kB of L1 cache, and the GPU 50 MB of L2. Rows of a million floats are 4 MB. For which
# of them does the prediction hold?

# %%
measured = figures.results(7)  # measured now on your GPU (half a minute), else the newest in benchmarks/
found = (measured or {}).get("measured")
passes = {"three_pass": 4, "online": 3, "one_pass": 2, "pytorch": 2}
cells: dict[str, dict[str, str]] = {}  # version -> matrix -> what is shown
for one in found["softmax"] if found else []:
    predicted = passes[one["version"].split("/")[-1]] * one["bytes"] / found["copy_gb_per_s"] / 1e6
    shape = f"{one['rows']:,} x {one['columns']:,} {one['dtype']}"
    cells.setdefault(one["version"], {})[shape] = f"{one['ms']:.3f} ({predicted:.3f})"

# %%
if found:
    where = f"{measured['machine']['gpu']}, {str(measured['machine']['date'])[:10]}"
    print(f"{where}. Milliseconds measured (and predicted: bytes / the rate of a copy)")
rows = [(version, *shown.values()) for version, shown in cells.items()]
MISSING = "Not measured: `make bench`, on a machine with a GPU, measures and keeps it."
table(("version", *cells["pytorch"]), rows) if rows else print(MISSING)

# %% [markdown]
# Where a cache holds the row between passes, the second and third trip needn't go to memory, and the prediction is too
# slow. Where none does, the bytes decide. (Rows of a million columns are more than `one_pass` can keep; it takes two passes there.)
#
# ## 7. Your turn
#
# `exercise_numpy.py` has two blanks, the online update and the merge. `exercise.py` asks for the loop in Triton,
# `exercise.cu` for the merge and the statistics of a row in CUDA. Fill them in and run
#
# ```
# make check-lesson7
# ```
#
# `make hint-lesson7` gives one hint at a time.
#
# ### Three questions you can now answer
#
# **a.** Merge $(2, 1)$ and $(0, e^2)$.
#
# <details><summary>Answer</summary>
#
# $m = 2$, and $l = 1 + e^2 \cdot e^{0 - 2} = 2$: $(2, 2)$.
#
# </details>
#
# **b.** A row's scores are raised by 10. What becomes of softmax and LSE?
#
# <details><summary>Answer</summary>
#
# The softmax stays; $m$, and with it LSE, grows by 10.
#
# </details>
#
# **c.** Two machines hold halves of a row and their LSE. What is the LSE of the whole row?
#
# <details><summary>Answer</summary>
#
# $\log(e^{\text{LSE}_a} + e^{\text{LSE}_b})$, computed with the larger one subtracted: an LSE is the pair $(\text{LSE}, 1)$.
#
# </details>
