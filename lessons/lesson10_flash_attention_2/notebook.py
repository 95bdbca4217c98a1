# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 10: flash_attention_2
#
# At the end of this hour you can
#
# - say what FlashAttention-2 ([arXiv 2307.08691](https://arxiv.org/abs/2307.08691)) changes in FlashAttention-1, as a diff;
# - predict the bytes that both move, and count the operations besides the matrix products;
# - name the tiles that a causal mask lets you skip;
# - explain a measured curve of time and memory over the sequence length.

# %%
import sys

sys.path.append("../..")  # the repository, where the notebook was opened without `make lab`

import re
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

# %%
from flash_attention import flash_v1, flash_v2
from flash_attention.flash_v1 import cuda_version as cuda_v1
from flash_attention.flash_v1 import numpy_version as numpy_v1
from flash_attention.flash_v2 import cuda_version as cuda_v2
from flash_attention.flash_v2 import numpy_version as numpy_v2
from flash_attention.trace import Memory

# %%
from workbench import lessons
from workbench.check.outcome import Outcome
from workbench.check.run import run_cases
from workbench.cuda import observe
from workbench.report.curves import curves
from workbench.report.figures import results
from workbench.report.listings import difference, listing, table
from workbench.report.on_chip import tile_strip

FOLDERS = Path(flash_v1.__file__).parent, Path(flash_v2.__file__).parent

# %% [markdown]
# ## 1. What FlashAttention-1 wastes
#
# Its outer loop goes over tiles of keys. So each tile of $O$ comes from memory, is divided by $l$, and goes back, once for
# each tile of keys. And because all passes write the same $O$, one block has to do a whole head.
#
# **Predict.** 16 heads, $N$ = 16,384, tiles of $64 \times 64$: how many of an H100's 132 multiprocessors work? How many
# would, if each tile of queries were a block of its own?

# %%
print(f"a block a head: {16} blocks; a block a tile of queries: {16 * 16384 // 64:,} blocks")

# %% [markdown]
# ## 2. The loops change places
#
# Let the loop over queries be the outer one. Then a tile's $O_i$, $l_i$ and $m_i$ stay on chip until all keys have passed,
# no two iterations share anything, and the grid can take the loop's place. And since nobody looks at $O_i$ before its end,
# it needn't be normalised in between:
#
# $$O \leftarrow e^{m - m'} O + \tilde P V_j \qquad\text{and once, at the end:}\quad O / l$$
#
# $\tilde P = e^{S - m'}$ is measured against the new maximum right away, so only one factor is left of lesson 9's two.
# The log-sum-exp $m + \log l$ is stored: with it, the backward pass (lesson 13) can compute any tile of $P$ again.

# %%
listing(Path(numpy_v2.__file__), part="one_head")

# %% [markdown]
# ## 3. Tiles that nobody visits
#
# With a causal mask, tiles above the diagonal hold no key that any of their queries sees. FlashAttention-1's algorithm
# masks them; FlashAttention-2 doesn't visit them, and masks only the tiles that the diagonal (or the end of the keys)
# crosses. All others need no comparison at all.
#
# **Predict.** Of $4 \times 4$ tiles, how many does each version compute? How often does each load a tile of $K$?

# %%
generator = np.random.default_rng(0)
q, k, v = (generator.standard_normal((1, 1, 256, 64)) for _ in range(3))
traces = {"FlashAttention-1": Memory(), "FlashAttention-2": Memory()}
numpy_v1.attention(q, k, v, causal=True, memory=traces["FlashAttention-1"])
numpy_v2.attention(q, k, v, causal=True, memory=traces["FlashAttention-2"])
tile_strip({name: memory.steps for name, memory in traces.items()}, (4, 4), shown=(1, 2, 3, 6, 8, 10))

# %% [markdown]
# 16 against 10, and for long sequences twice as many. FlashAttention-2 loads $K$ and $V$ once for each tile of queries;
# on a GPU blocks that run at the same time find them in the L2 cache. Its tiles of $Q$ and $O$ move once.
# `make explore` writes a page in which you can step through both, tile by tile, and compare what moves.
#
# Ragged tiles, queries that see no key, heads and strides: all as in lesson 9, section 4.
#
# ## 4. The difference
#
# In NumPy:

# %%
difference(FOLDERS[0] / "numpy_version.py", FOLDERS[1] / "numpy_version.py")

# %% [markdown]
# In CUDA. The products and the shuffles are the same; see how
# [line 10](../../flash_attention/flash_v2/flash_v2.cu#L136) needs no global memory any more:

# %%
difference(FOLDERS[0] / "flash_v1.cu", FOLDERS[1] / "flash_v2.cu")

# %% [markdown]
# In Triton the loop over keys becomes a function, compiled twice: for tiles that need no mask, and for those that do.

# %%
difference(FOLDERS[0] / "triton_version.py", FOLDERS[1] / "triton_version.py")

# %% [markdown]
# ## 5. A factor too many
#
# Suppose $O$ is rescaled, but $l$ isn't:

# %%
broken = Path(tempfile.mkdtemp()) / "flash_v2.cu"
broken.write_text((FOLDERS[1] / "flash_v2.cu").read_text().replace("l[r] *= rescale;", ""))

task = lessons.load(10).tasks[0]
task = replace(task, cases=task.cases[:9])  # the small ones are enough here
submission = next(e for e in task.exercises if e.language == "cuda").implementation(broken)
outcome = run_cases(task, submission, "cpu", outcome=Outcome("attention", "broken", learners=True))
print(outcome.what_happened)
print(f"Likely: {outcome.mistake}. {next(m.sentence for m in task.mistakes if m.name == outcome.mistake)}")

# %% [markdown]
# ## 6. Bytes and operations, counted
#
# Bytes of one head, without a mask, for $b$ bytes an element:
#
# $$\text{FA1: } 2Ndb + \frac{N}{B_c}\,(Ndb + 8Nd + 16N) \qquad \text{FA2: } 2Ndb + 4N + \frac{N}{B_r} \cdot 2Ndb$$
#
# Curves: these formulas. The kernels' own loads and stores, counted in the PTX machine, must lie on them:

# %%
B, d, b = 32, 64, 2
lengths = [2**n for n in range(5, 15)]
bytes_moved = {
    "FA1, formula": {n: 2 * n * d * b + n / B * (n * d * b + 8 * n * d + 16 * n) for n in lengths},
    "FA2, formula": {n: 2 * n * d * b + 4 * n + n / B * 2 * n * d * b for n in lengths},
}

# %%
seen = {}
for name, attention in (("FA1", cuda_v1.attention), ("FA2", cuda_v2.attention)):
    for n in (32, 64, 128):
        with observe(checks=False) as launches:
            attention(*(torch.randn(1, 1, n, d).half() for _ in range(3)), tiles=(B, B))
        seen[name, n] = launches[0]
    counted = {n: seen[name, n].counters for n in (32, 64, 128)}
    bytes_moved[f"{name}, counted"] = {
        n: c.global_load_bytes + c.global_store_bytes for n, c in counted.items()
    }
curves(
    {"bytes of one head, d = 64, float16, tiles of 32 x 32": bytes_moved},
    points=("FA1, counted", "FA2, counted"),
)

# %%
for name in ("FA1", "FA2"):
    formula, counted = bytes_moved[f"{name}, formula"], bytes_moved[f"{name}, counted"]
    print(name, {n: f"counted {counted[n]:,}, formula {formula[n]:,.0f}" for n in counted})

# %% [markdown]
# **Operations.** A GPU's tensor cores do matrix products many times faster than anything else is done, so the rest counts
# double. Here is the rest: the floating-point operations of each kernel on all lines but the two of the products.

# %%
rows = []
for name, source in (("FA1", FOLDERS[0] / "flash_v1.cu"), ("FA2", FOLDERS[1] / "flash_v2.cu")):
    text = source.read_text().splitlines()
    products = {
        n for n, line in enumerate(text, 1) if re.search(r"(S\[r\]\[c\]|O\[r\]\[i\]\.at\[n\]) \+=", line)
    }
    lines = seen[name, 128].lines
    everything = sum(c.cuda_core_operations for c in lines.values())
    rest = sum(c.cuda_core_operations for (_, line), c in lines.items() if line not in products)
    rows.append((name, everything - rest, rest, rest / 128**2))
table(("N = 128", "of the products", "the rest", "the rest, for each element of S"), rows)

# %% [markdown]
# ## 7. Measured
#
# **Predict.** The readable CUDA kernels, $N$ = 16,384, 16 heads: how many times faster is FA2? At which length does naive
# attention run out of an H100's 80 GB? And how does the memory of FA1 and FA2 grow?

# %%
measured = results(10)
found = (measured or {}).get("measured") or {}
versions = {name: one for name, one in found.get("versions", {}).items() if "causal" not in name}
panels = {
    title: {name: {int(n): y for n, y in one[what].items()} for name, one in versions.items()}
    for title, what in (("time in ms", "time"), ("memory that a call takes, in MiB", "peak"))
}
MISSING = "Not measured: `make bench`, on a machine with a GPU, measures and keeps it."
where = (
    f"{measured['machine']['gpu']}, {str(measured['machine']['date'])[:10]}: float16, 16 heads, d = 64"
    if versions
    else ""
)
curves(panels, where) if versions else print(MISSING)

# %%
for name, one in versions.items():
    longest = max(map(int, one["peak"]), default=0)
    print(f"{name:16} up to {longest:,}{', then ' + one['ended'] if one['ended'] else ''}")
for mask in ("", ", causal") if versions else ():
    ours, theirs = (found["versions"][name + mask]["time"] for name in ("flash_v2/triton", "PyTorch"))
    ratios = ", ".join(f"{int(n) // 1024}k {theirs[n] / ours[n]:.2f}" for n in ours)
    print(f"flash_v2/triton{mask}, times PyTorch's FlashAttention-2: {ratios}")

# %% [markdown]
# Memory that doubles with the length is linear. The readable CUDA kernels do their products without tensor cores, which
# Triton uses; lesson 12 takes them to CUDA.
#
# ## 8. Your turn
#
# `exercise_numpy.py`, `exercise.py` (Triton) and `exercise.cu` lack what happens in the loop. Fill them in, and run
#
# ```
# make check-lesson10
# ```
#
# `make hint-lesson10` gives one hint at a time.
#
# ### Three questions you can now answer
#
# **a.** Why can FlashAttention-1 not simply use a block for each tile of queries, too?
#
# <details><summary>Answer</summary>
#
# It could, with the loops as they are in each block; then the block keeps its $O_i$ anyway, and that is FlashAttention-2.
# With keys outside, blocks of different tiles of keys would update the same $O_i$ at the same time.
#
# </details>
#
# **b.** Batch 1, 8 heads, 512 queries, 100,000 keys, on 132 multiprocessors. What does FlashAttention-2's grid lack?
#
# <details><summary>Answer</summary>
#
# Blocks: 8 heads of 8 tiles are 64. The keys must be split as well, and the parts merged: lesson 15.
#
# </details>
#
# **c.** How many multiplications by the rescaling factor does each element of $O$ see, and how many divisions?
#
# <details><summary>Answer</summary>
#
# One multiplication for each tile of keys that is visited, one division in all.
#
# </details>
