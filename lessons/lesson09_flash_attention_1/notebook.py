# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 9: flash_attention_1
#
# At the end of this hour you can
#
# - compute attention exactly without ever holding $S = QK^T$;
# - say why the output of the tiles so far must be rescaled, and by what;
# - read algorithm 1 of the FlashAttention paper ([arXiv 2205.14135](https://arxiv.org/abs/2205.14135)) in NumPy, Triton
#   and CUDA;
# - predict the bytes that it moves, and check the prediction.
#
# You need no GPU: the PTX machine counts everything except time.

# %%
import sys

sys.path.append("../..")  # the repository, where the notebook was opened without `make lab`

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

# %%
from flash_attention import reference
from flash_attention.flash_v1 import cuda_version, numpy_version, triton_version
from flash_attention.trace import Memory
from workbench import lessons
from workbench.check.outcome import Outcome
from workbench.check.run import run_cases
from workbench.cuda import observe
from workbench.gpu import has_gpu
from workbench.report.curves import curves
from workbench.report.figures import results
from workbench.report.listings import listing, table
from workbench.report.on_chip import tile_strip

# %% [markdown]
# ## 1. The matrix that never has to exist
#
# Naive attention (lesson 8) writes $S$ and $P$, of $N \times N$ elements a head, to memory and reads them again. Nobody
# wants these matrices; the output has only $N \times d$ elements.
#
# **Predict.** How much memory does $S$ take for 16 heads in float16 at $N$ = 4,096, and at $N$ = 65,536?

# %%
rows = [(n, 16 * n * n * 2 / 2**30, 16 * n * 64 * 2 / 2**30) for n in (4096, 16_384, 65_536)]
table(("N", "S in GiB", "O in GiB, d = 64"), rows, digits=3)

# %% [markdown]
# A tile of $S$, say $64 \times 64$, fits on chip: into shared memory and registers. To use a tile and forget it, softmax
# must work without seeing the whole row.
#
# ## 2. One row, tile by tile
#
# Lesson 7 merged the statistics of two parts of a row, the maximum $m$ and the sum $l = \sum_j e^{s_j - m}$. The output
# merges in the same way. For a tile of keys, with its own maximum $\tilde m$, sum $\tilde l$ and weights
# $\tilde p_j = e^{s_j - \tilde m}$:
#
# $$m' = \max(m, \tilde m) \qquad l' = e^{m - m'} l + e^{\tilde m - m'} \tilde l$$
#
# $$o' = \frac{e^{m - m'}\, l\, o + e^{\tilde m - m'} \sum_j \tilde p_j v_j}{l'}$$
#
# All that was summed so far was measured against the old maximum $m$. When the maximum moves, the factor $e^{m - m'}$
# makes up for it, in the sum and in the output. Without it the old keys would weigh too much. It all starts with
# $m = -\infty$, $l = 0$, $o = 0$. At the end, $m + \log l = \log \sum_j e^{s_j}$ is the row's log-sum-exp.
#
# Here is one row of 12 scores in three tiles:

# %%
generator = np.random.default_rng(0)
scores, values = generator.standard_normal(12) * 3, generator.standard_normal((12, 2))
m, l, o = -np.inf, 0.0, np.zeros(2)
for s, v in zip(scores.reshape(3, 4), values.reshape(3, 4, 2), strict=True):
    m_new = max(m, s.max())
    keep, p = np.exp(m - m_new) * l, np.exp(s - m_new)
    l_new = keep + p.sum()
    o, m, l = (keep * o + p @ v) / l_new, m_new, l_new
    print(f"m = {m:6.3f}   l = {l:.3f}   o = {o.round(4)}")
p = np.exp(scores - scores.max())
print(f"all at once:              o = {(p @ values / p.sum()).round(4)}")

# %% [markdown]
# ## 3. Algorithm 1, line by line
#
# Now for all rows. The outer loop brings in tiles of $K$ and $V$; the inner loop goes over the tiles of $Q$, and reads,
# rescales and writes $O_i$, $l_i$ and $m_i$ each time. The comments count the paper's lines.

# %%
listing(Path(numpy_version.__file__), part="one_head")

# %% [markdown]
# `memory` notes what moves. **Predict**, for four tiles of queries and four of keys: how often is each tile of $K$
# loaded, and how often is each tile of $O$ written?

# %%
q, k, v = (generator.standard_normal((1, 1, 256, 64)) for _ in range(3))
memory = Memory()
o, lse = numpy_version.attention(q, k, v, Br=64, Bc=64, memory=memory)
tile_strip({"FlashAttention-1": memory.steps}, (4, 4), shown=(1, 2, 4, 5, 10, 16))

# %% [markdown]
# Once, and four times: the tile of $O$ comes and goes with each column of $S$. `make explore` writes a page in which
# you can step through such a trace with the numbers in the tiles, for other lengths and tile sizes.
#
# ## 4. Edges, masks and heads
#
# - **Ragged tiles.** The last tile holds what is left. In NumPy a slice ends by itself. A kernel works on whole tiles: keys
#   past the end get the score $-\infty$, so that their weight is 0; a 0 there would count as a key. Queries past the end
#   aren't stored.
# - **Causal.** Query $i$ sees key $j$ if $j \le i + N_k - N_q$: the last query sees all keys, whatever the lengths.
# - **A row that has seen no key** has $m = -\infty$, and $-\infty - (-\infty)$ is NaN. So 0 is subtracted in its place,
#   and the weights become $e^{-\infty} = 0$. If it never sees one, $l$ stays 0; its output is 0 and its LSE $-\infty$.
# - **A key that isn't seen** has weight 0, but 0 times NaN is NaN. So `product` is $PV_j$ over the keys that are seen,
#   whatever $V_j$ holds elsewhere.
# - **Heads.** With fewer K/V heads than query heads (GQA), query head $h$ reads K/V head
#   $\lfloor h / \text{group} \rfloor$.
# - **Strides.** q, k and v may be views, say of (batch, seqlen, heads, head_dim) memory. Kernels get the strides.

# %%
device = "cuda" if has_gpu() else "cpu"
q, k, v = (torch.randn(1, h, n, 32) for h, n in ((4, 90), (2, 50), (2, 50)))  # 40 queries see no key
right, _ = reference.attention(q.numpy(), k.numpy(), v.numpy(), causal=True)
for version in (triton_version, cuda_version):
    o, lse = version.attention(q.to(device), k.to(device), v.to(device), causal=True)
    error = np.abs(o.cpu().numpy() - right).max()
    print(f"{version.__name__:42} error {error:.1e}, {int(lse.isinf().sum())} rows without a key")

# %% [markdown]
# ## 5. In Triton and in CUDA
#
# In Triton a program has a head, and its tiles are the blocks that Triton works on anyway:

# %%
listing(Path(triton_version.__file__), part="flash_v1_kernel")

# %% [markdown]
# The CUDA version says who does what: 16 threads share some rows of a tile, all of one warp, so that a row's maximum and
# sum need only shuffles. Tiles lie in shared memory, in float32. See how
# [line 12](../../flash_attention/flash_v1/flash_v1.cu#L143) of the algorithm touches global memory.

# %%
listing(cuda_version.HERE / "flash_v1.cu")

# %% [markdown]
# ## 6. Forget the rescale
#
# Leave one factor out, as if the maximum never moved:

# %%
broken = Path(tempfile.mkdtemp()) / "flash_v1.cu"
text = (cuda_version.HERE / "flash_v1.cu").read_text()
broken.write_text(text.replace("(keep * o_new.at[e]", "(l_old * o_new.at[e]"))

task = lessons.load(9).tasks[0]
task = replace(task, cases=task.cases[:9])  # the small ones are enough here
submission = next(e for e in task.exercises if e.language == "cuda").implementation(broken)
outcome = run_cases(task, submission, "cpu", outcome=Outcome("attention", "broken", learners=True))
print(outcome.what_happened)
print(f"Likely: {outcome.mistake}. {next(m.sentence for m in task.mistakes if m.name == outcome.mistake)}")

# %% [markdown]
# Small inputs of one tile come out right: nothing has to be rescaled there. And with `torch.randn` the maximum moves
# little, so the error may look like rounding. That is why the checker's cases have several tiles, and its rule is tight.
#
# ## 7. What it moves
#
# For one head, $T_c = N / B_c$ passes, and $b$ bytes an element ($O$, $l$ and $m$ wait in float32):
#
# $$\underbrace{2 N d b}_{K, V \text{ once}} + T_c \cdot \big( \underbrace{N d b}_{Q} + \underbrace{2 \cdot 4 N d}_{O \text{ in, out}}
# + \underbrace{4 \cdot 4 N}_{l, m \text{ in, out}} \big)$$
#
# It still grows with $N^2$, but with $N^2 d / B_c$: the larger the tile, the less. The paper's theorem 2 says it with the
# size $M$ of the on-chip memory: $\Theta(N^2 d^2 / M)$. Naive attention writes and reads $S$ and $P$, at least $4 N^2 b$.
#
# Formula, NumPy's trace and the kernel's own loads and stores, counted in the PTX machine:

# %%
rows = []
for n in (32, 64, 128):
    q, k, v = (torch.randn(1, 1, n, 64).half() for _ in range(3))
    with observe(checks=False) as launches:
        cuda_version.attention(q, k, v, tiles=(32, 32))
    seen, memory = launches[0].counters, Memory()
    numpy_version.attention(*(x.double().numpy() for x in (q, k, v)), Br=32, Bc=32, memory=memory)
    formula = 2 * n * 64 * 2 + n // 32 * (n * 64 * 2 + 8 * n * 64 + 16 * n)
    counted = seen.global_load_bytes + seen.global_store_bytes
    rows.append((n, formula, memory.moved(2, 4), counted, 4 * n * n * 2))
table(("N", "formula", "trace", "counted in CUDA", "naive, S and P"), rows)

# %% [markdown]
# They agree. And at these tiles, $O$ costs more traffic than naive attention's matrices did. How large must $B_c$ be?

# %%
lengths = [2**n for n in range(10, 17)]
series = {f"Bc = {Bc}": {n: (256 * n + n / Bc * 656 * n) / 1e6 for n in lengths} for Bc in (32, 64, 128, 256)}
series["naive: S and P"] = {n: 4 * n * n * 2 / 1e6 for n in lengths}
curves({"MB that one head moves (formula)": series})

# %% [markdown]
# From $B_c$ = 128 on it moves less. What FlashAttention-1 wins at any tile size is memory: it needs $O(N)$ of it. Lesson 10
# moves $O$ only once.
#
# ## 8. Measured
#
# **Predict.** A block a head: how many of an H100's 132 multiprocessors work on 16 heads? And on the 128 heads that are
# measured here?

# %%
measured = results(9)
timed = [row for row in measured["rows"] if row["timing"]] if measured else []
if timed:
    print(
        f"{measured['machine']['gpu']}, {measured['machine']['date']}: float16, 4 x 32 heads, N = 4096, d = 64"
    )
rows = [
    (r["name"], *(r["timing"][c] for c in ("median", "tflop_per_s", "pytorch_median", "peak_mib")))
    for r in timed
]
header = ("version", "ms", "TFLOP/s", "PyTorch's ms", "MiB that a call takes")
table(header, rows) if rows else print(
    "Not measured: `make bench`, on a machine with a GPU, measures and keeps it."
)

# %% [markdown]
# 16, and 128: here nearly all have a block. But only one, and while its warps wait for $O$ or for each other, nobody
# else works there. Lesson 10 gives each multiprocessor many blocks.
#
# ## 9. Your turn
#
# `exercise_numpy.py`, `exercise.py` (Triton) and `exercise.cu` each lack the heart of the inner loop: lines 10 to 12, the
# update with its rescale. Fill them in, NumPy first, and run
#
# ```
# make check-lesson9
# ```
#
# `make hint-lesson9` gives one hint at a time.
#
# ### Three questions you can now answer
#
# **a.** A row's first tile has the maximum 5, its second one 3. Which part is multiplied by which factor?
#
# <details><summary>Answer</summary>
#
# The maximum stays 5. What was there is kept as it is ($e^{0}$); what the second tile adds is multiplied by $e^{-2}$.
#
# </details>
#
# **b.** $B_c$ doubles. What happens to the bytes that move?
#
# <details><summary>Answer</summary>
#
# Half as many passes: Q, O, l and m move half as often. K and V move once, as before.
#
# </details>
#
# **c.** Why is $O$ divided by $l$ in each pass, when one division at the end would do?
#
# <details><summary>Answer</summary>
#
# So that $O$ in memory is the right output for the keys seen so far. Nothing needs it: FlashAttention-2 drops it.
#
# </details>
