# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 8: naive attention
#
# At the end of this hour you can
#
# - write attention as three kernels, for any lengths, with causal masks and shared K/V heads;
# - count the bytes that it moves and the memory that it takes, before it runs;
# - say why it hits a wall when sequences grow, and where;
# - ask PyTorch which attention it runs for your tensors, and why not another.
#
# You need no GPU.

# %%
import sys

sys.path.append("../..")  # the repository, where the notebook was opened without `make lab`

from pathlib import Path

import numpy as np
import torch

from flash_attention import reference
from flash_attention.naive import cuda_version, numpy_version, triton_version
from workbench.cuda import observe
from workbench.gpu import has_gpu
from workbench.report import curves, figures, weights
from workbench.report.listings import listing, table

# %% [markdown]
# ## 1. What attention computes
#
# Each of $S_q$ *queries* compares itself with $S_k$ *keys*, and takes a weighted mean of their *values*:
#
# $$S = Q K^\top \cdot \text{scale}, \qquad P = \text{softmax}(S), \qquad O = P V$$
#
# $Q$ is $S_q \times D$, $K$ and $V$ are $S_k \times D$, and the scale is $1/\sqrt{D}$: a score is a sum of $D$ products, whose
# spread grows like $\sqrt D$. There is one such problem for each head of each batch, so tensors have the shape
# (batch, heads, seqlen, head_dim).
#
# **Predict.** For 16,384 queries and keys, 8 heads, $D = 64$ in float16: how many bytes are Q, K, V and O together? And
# how many are $S$ and $P$, in float32?

# %%
n, heads, d = 16_384, 8, 64
print(
    f"Q, K, V, O: {4 * heads * n * d * 2 / 2**20:,.0f} MiB. S and P: {2 * heads * n * n * 4 / 2**20:,.0f} MiB."
)

# %% [markdown]
# ## 2. Three kernels
#
# Everything needed is there already: a matrix product (lesson 3), a softmax (lesson 7), another matrix product.

# %%
listing(Path(numpy_version.__file__), part="attention")

# %% [markdown]
# (`product` is `p @ v`, but that what a query doesn't see can't reach it: 0 times NaN is NaN.)
#
# In CUDA, kernel 1 is lesson 3's product with shared tiles. It reads $K$ along its rows, as it reads $Q$: that makes
# $K^\top$ without moving anything.

# %%
listing(cuda_version.HERE / "scores.cu")

# %% [markdown]
# Kernel 2 is lesson 7's `online.cu`, which also gives the log-sum-exp. Kernel 3 is lesson 3's product. What holds
# them together is a wrapper with $S$ and $P$ in memory between them:

# %%
listing(Path(cuda_version.__file__), part="attention")

# %% [markdown]
# In Triton each product is a loop around `tl.dot`. (`input_precision="ieee"`: without it, a GPU would round float32 to 10
# bits of mantissa for its tensor cores.)

# %%
listing(Path(triton_version.__file__), part="scores_kernel")

# %% [markdown]
# All three against the oracle, for lengths that divide nothing:

# %%
device = "cuda" if has_gpu() else "cpu"
q, k, v = (torch.randn(1, 2, length, 40) for length in (45, 70, 70))
right, right_lse = reference.attention(q.numpy(), k.numpy(), v.numpy())
print(f"numpy   {np.abs(numpy_version.attention(q.numpy(), k.numpy(), v.numpy())[0] - right).max():.1e}")
for name, module in (("cuda", cuda_version), ("triton", triton_version)):
    o, lse = module.attention(*(x.to(device) for x in (q, k, v)))
    print(f"{name:7} {np.abs(o.cpu().numpy() - right).max():.1e}")

# %% [markdown]
# ## 3. Masks and shared heads
#
# A language model may not look ahead: with a *causal* mask, query $i$ sees keys up to its own place. Where there are more
# keys than queries, the queries are the last ones (new tokens after a long prompt), so the mask is aligned at the bottom
# right: query $i$ sees key $j$ if $j \le i + S_k - S_q$.
#
# **Predict.** With 12 queries and 7 keys, how many queries see nothing? What should come out for them?

# %%
shown = {}
generator = np.random.default_rng(8)
for seqlen_q, seqlen_k in ((10, 10), (7, 12), (12, 7)):
    q, k = (generator.standard_normal((1, 1, length, 16)) for length in (seqlen_q, seqlen_k))
    _, lse = reference.attention(q, k, k, causal=True)
    s = (q @ k.swapaxes(2, 3) / 4)[0, 0]
    i, j = np.ogrid[:seqlen_q, :seqlen_k]
    with np.errstate(all="ignore"):
        p = np.where(j <= i + seqlen_k - seqlen_q, np.exp(s - lse[0, 0, :, None]), np.nan)
    shown[f"{seqlen_q} queries, {seqlen_k} keys"] = p
weights.weights(shown)

# %% [markdown]
# The first five of twelve see nothing. We define their output as 0 and their LSE as −inf, and every version must take care
# not to make NaN of them.
#
# (PyTorch's `is_causal=True` aligns at the top left: the same for equal lengths, another mask for others.)
#
# **Break it.** Take the mask of [scores.cu](../../flash_attention/naive/scores.cu#L30) as PyTorch would have it. The
# checker runs it on its cases:

# %%
import tempfile
from dataclasses import replace

from lessons.attention_cases import TELLING
from lessons.lesson08_naive_attention.check import LESSON, learners
from workbench.check.outcome import Outcome
from workbench.check.run import run_cases

broken = Path(tempfile.mkdtemp()) / "scores.cu"
text = (cuda_version.HERE / "scores.cu").read_text()
broken.write_text(text.replace("j <= i + seqlen_k - seqlen_q", "j <= i"))
task = replace(LESSON.tasks[0], cases=TELLING[:5])
said = run_cases(task, learners("scores", broken), "cpu", outcome=Outcome("attention", "broken"))
print(f"{said.case}: {said.what_happened}\n\n{said.mistake}: {said.mistake_sentence}")

# %% [markdown]
# Keys and values of all tokens so far are kept (the *KV cache*), and they are what fills memory when a model generates. So
# query heads often share them: with $H$ query heads and $H_{kv}$ K/V heads, query head $h$ reads K/V head
# $\lfloor h / (H / H_{kv}) \rfloor$. $H_{kv} = H$ is multi-head attention (MHA), $H_{kv} = 1$ multi-query (MQA), between them
# lies grouped-query attention (GQA). In the kernel it costs a division, `blockIdx.z / group`.
#
# ## 4. The bytes
#
# With tiles of $T \times T$ and $N$ queries and keys, for each head:
#
# | kernel | reads | writes |
# |---|---|---|
# | scores | $Q$ and $K$, each $N/T$ times | $S$ |
# | softmax | $S$, twice | $P$ |
# | weighted_sum | $P$, $D/T$ times; $V$, $N/T$ times | $O$ |
#
# **Predict.** $N$ doubles. By what factor do the bytes grow? Lines are the formula, points are counted in the PTX machine.

# %%
from flash_attention.arguments import Sizes

counted, formula, needed = {}, {}, {}
for n in (64, 128, 256, 512):
    formula[n] = cuda_version.bytes_asked(Sizes(1, 1, 1, n, n, 64), 4) / 2**20
    needed[n] = 4 * n * 64 * 4 / 2**20
    if n <= 128:
        x = torch.rand(1, 1, n, 64)
        with observe() as launches:
            cuda_version.attention(x, x, x)
        seen = [launch.counters for launch in launches]
        counted[n] = sum(one.global_load_bytes + one.global_store_bytes for one in seen) / 2**20
versions = {"formula": formula, "counted": counted, "Q, K, V and O": needed}
curves.curves({"MiB, one head, D = 64, float32": versions}, points=("counted",))

# %% [markdown]
# By four: everything but $Q$, $K$, $V$ and $O$ themselves is $O(N^2)$. Nobody asked for $S$ and $P$; they are only a way to $O$.
# Lessons 9 and 10 do without. `make explore` writes a page in which you step through the three kernels, tile by tile, and
# see $S$ and $P$ fill the memory.
#
# ## 5. What PyTorch runs
#
# `scaled_dot_product_attention` is a front door, with several implementations behind it: FlashAttention-2
# (`FLASH_ATTENTION`), another memory-efficient kernel (`EFFICIENT_ATTENTION`), cuDNN's (`CUDNN_ATTENTION`), and plain
# PyTorch (`MATH`), which is as naive as ours. Which one runs depends on the inputs. Don't guess, ask:

# %%
from lessons.lesson08_naive_attention import backends

listing(Path(backends.__file__), part="chosen")

# %%
listing(Path(backends.__file__), part="usable")

# %% [markdown]
# **Predict.** Which of them take float32? A mask of your own? A head_dim of 512?

# %%
MISSING = "Not measured: `make bench`, on a machine with a GPU, measures and keeps it."
measured = figures.results(8)  # measured now on your GPU (a minute), else the newest in benchmarks/
found = (measured or {}).get("measured")
print("Here, on the CPU:", {one["chosen"] for one in backends.report("cpu")})
if found:
    where = f"{measured['machine']['gpu']}, {str(measured['machine']['date'])[:10]}"
    print(f"{where}, PyTorch {found['torch']}:")
answers = (
    [(one["inputs"], one["chosen"], ", ".join(one["runs"])) for one in found["backends"]] if found else []
)
table(("inputs", "chosen", "runs when it alone is allowed"), answers) if answers else print(MISSING)

# %% [markdown]
# A backend says why it refuses:

# %%
refused = (
    [(one["inputs"], *why) for one in found["backends"] for why in one["refused"].items()] if found else []
)
table(("inputs", "backend", "its reason"), refused[:6]) if refused else print(MISSING)

# %% [markdown]
# ## 6. Measured
#
# **Predict.** From 8k to 16k tokens, how do time and memory of the naive version grow? And PyTorch's flash backend's?

# %%
panels = {"ms": {}, "MiB that a call takes": {}}
for one in found["by_length"] if found else []:
    for panel, key in zip(panels, ("ms", "mib"), strict=True):
        panels[panel].setdefault(one["version"], {})[one["length"]] = one[key]
title = f"{where}: {found['heads']} heads, D = {found['head_dim']}, {found['dtype']}" if found else ""
curves.curves(panels, title) if found else print(MISSING)

# %% [markdown]
# The operations grow fourfold for all of them. Memory grows fourfold where $S$ and $P$ are kept, and twofold where they
# aren't.
#
# ## 7. Your turn
#
# `exercise_numpy.py` has one blank, attention in NumPy. `exercise.cu` has two, `scores` and `weighted_sum`; each is checked
# together with the shipped version of the other. Fill them in and run
#
# ```
# make check-lesson8
# ```
#
# `make hint-lesson8` gives one hint at a time.
#
# ### Three questions you can now answer
#
# **a.** A GPU has 24 GB. At which length does naive attention with 8 heads run out, with $S$ and $P$ in float32?
#
# <details><summary>Answer</summary>
#
# $2 \cdot 8 \cdot 4 \cdot N^2 \le 24 \cdot 10^9$: at about 19,000.
#
# </details>
#
# **b.** One query, 4,000 keys, causal. What does the mask hide?
#
# <details><summary>Answer</summary>
#
# Nothing: the query is the last token, and sees all keys.
#
# </details>
#
# **c.** A model has 32 query heads and 8 K/V heads. Which query heads read K/V head 3?
#
# <details><summary>Answer</summary>
#
# 12, 13, 14 and 15.
#
# </details>
