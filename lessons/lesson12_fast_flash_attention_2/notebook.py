# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 12: fast_flash_attention_2
#
# At the end of this hour you can
#
# - write FlashAttention-2 on tensor cores, and say where each number of S, P and O lies;
# - count, before anything is timed, what each part of the chip has to do, and predict which one limits;
# - read six kernels as differences, from the plain one to one that keeps up with the official FlashAttention-2;
# - explain why a measured time differs from a prediction.
#
# You need no GPU. The times shown come from a GPU named beside them.

# %%
import sys

sys.path.append("../..")  # the repository, where the notebook was opened without `make lab`

import tempfile
from pathlib import Path
from statistics import geometric_mean

import torch

from cuda_basics.tensor_cores import cuda_version as primitives
from flash_attention.tensor_cores import cuda_version as cuda

# %%
from workbench.cuda import observe, resources
from workbench.ptx import Fault
from workbench.report import figures, listings
from workbench.report.bounds import bounds
from workbench.report.curves import curves
from workbench.report.fragments import fragments
from workbench.report.ladder import ladder

# %% [markdown]
# ## 1. Four parts, one limit
#
# Lesson 10's kernel multiplies with ordinary arithmetic. Tensor cores (lesson 11) multiply ten times faster and more, and
# then the rest of the algorithm, which hardly mattered, does. An H100's multiprocessor has, each cycle:
#
# - tensor cores: 4,096 operations by the data sheet; `mma.sync` gets some 63 % of them;
# - shared memory: one wavefront of 128 bytes;
# - exponentials: 16;
# - instructions: one each for four warps.
#
# **Predict.** A tile of $64 \times 64$ scores with $d = 128$: how many cycles do the two products take? How many its
# exponentials? A warp owns 16 rows and reads all of $K_j$ and $V_j$: how long is shared memory busy for four warps?

# %%
operations = 4 * 64 * 64 * 128
print(f"products       {operations / (0.63 * 4096):,.0f} cycles")
print(f"exponentials   {64 * 64 / 16:,.0f}")
print(f"shared memory  {4 * (2 * 64 * 128 * 2) / 128:,.0f}")

# %% [markdown]
# Shared memory takes longer than the products, even without a conflict. Remember that for the last step. And with
# $d = 64$ there is half the product for the same exponentials.
#
# ## 2. S, P and O as fragments
#
# A block has 64 queries, each of its four warps 16. $S$ and $O$ are accumulators of `mma`, fragments C; they stay in
# registers. $P$ has to be an operand, a fragment A. **Predict**: lane 5 holds which elements of $S$, and which must it
# hold of $P$? (Two tiles of $16 \times 8$ side by side, and one of $16 \times 16$.)

# %%
held = primitives.layouts()
fragments({"S, keys 0–7": held["C"], "S, keys 8–15": held["C"], "P, keys 0–15": held["A"]}, lane=5)

# %% [markdown]
# The same lanes. Our first step doesn't use that: its $P$ goes through shared memory. It loads, waits, multiplies, and
# visits every tile of keys, the last one first, so that the ragged tile is behind us when the loop gets going.

# %%
listings.listing(cuda.HERE / "plain.cu")

# %% [markdown]
# ## 3. A row in four lanes
#
# No lane has a whole row of $S$. Of each 8 columns, lane $t$ of four has two. So a row's maximum takes
# [two shuffles](../../flash_attention/tensor_cores/plain.cu#L123). The sum is left apart: each lane adds up its own
# columns, rescaled like the rest, and the four meet once, after the loop. Elements 0 and 1 of a fragment are row $g$,
# elements 2 and 3 row $g + 8$: `half` in the code.
#
# The maximum doesn't start at $-\infty$ but at $-3 \cdot 10^{38}$. It may be subtracted from itself, so rows that see no
# key need no branch.
#
# ## 4. Banks, and tiles on their way
#
# Step 2 swizzles, as in lesson 11:

# %%
listings.difference(cuda.HERE / "plain.cu", cuda.HERE / "swizzled.cu")

# %% [markdown]
# Step 3 gives $K$ and $V$ a second stage, and fetches the next tile while it works on this one:

# %%
listings.difference(cuda.HERE / "swizzled.cu", cuda.HERE / "prefetch.cu")

# %% [markdown]
# One barrier says both: tile $j$ has come for all threads, and nobody reads the other stage any more. Without the wait
# before it, a GPU would give wrong numbers now and then. Here it is certain:

# %%
broken = Path(tempfile.mkdtemp()) / "prefetch.cu"
text = (cuda.HERE / "prefetch.cu").read_text()
broken.write_text(text.replace("    wait_copy_groups<0>();\n", ""))
inputs = [torch.randn(1, 1, seqlen, 128).bfloat16() for seqlen in (128, 256, 256)]

try:
    cuda.attention(*inputs, step="prefetch", source=broken)
except Fault as fault:
    print(fault)

# %% [markdown]
# ## 5. P stays where it is
#
# Step 4 takes the gift of section 2. Two neighbouring fragments of $S$, rounded in pairs, are a fragment of $P$:

# %%
listings.difference(cuda.HERE / "prefetch.cu", cuda.HERE / "registers.cu")

# %% [markdown]
# `exp` goes, too. The hardware has only $2^x$; with $\log_2 e$ folded into the scale, one multiplication and one
# subtraction are left.
#
# ## 6. Tiles that nobody sees
#
# **Predict.** Causal, 4,096 keys, tiles of 64: what part of the tiles is needless? Which blocks should begin first?

# %%
listings.difference(cuda.HERE / "registers.cu", cuda.HERE / "causal.cu")

# %% [markdown]
# Nearly half. The long blocks begin first; short ones fill the gaps at the end. And blocks that run together share few
# heads, whose $K$ and $V$ then stay in the L2 cache.
#
# ## 7. Tuned
#
# The last step was found by measuring. Four things stayed:

# %%
listings.difference(cuda.HERE / "causal.cu", cuda.HERE / "tuned.cu")

# %% [markdown]
# - **32 rows a warp.** Each fragment of $K$ and $V$ is used twice: section 1's third number halves.
# - **Lazy rescaling.** $O / l$ is the same whatever $m$ is, as long as nothing overflows. So $O$ is rescaled only when a
#   maximum has grown by more than $2^8$.
# - **Exponentials between products.** Those of the next 16 keys don't depend on this product.
# - **Any head_dim** up to 256, with tiles for each.
#
# **Predict.** 32 rows of $O$ and $S$ at $d = 128$: how many registers does a lane need for them? It may have 255.

# %%
rows = []
for step in cuda.STEPS:
    tiles = cuda.choose(128, torch.device("cpu")) if step == "tuned" else cuda.STEP_TILES
    defines = cuda.macros(torch.bfloat16, 128, tiles)
    found = [resources(cuda.HERE / f"{step}.cu", "flash_attention", defines, t) for t in ("sm_80", "sm_90")]
    kib = cuda.shared_memory(step, 128, tiles) / 1024
    rows.append((step, found[0].registers, found[1].registers, found[1].spill_stores, kib))
listings.table(("step", "registers, sm_80", "sm_90", "bytes spilled", "shared, KiB"), rows, digits=0)

# %% [markdown]
# $32 \cdot (128 + 64) / 32 = 192$, without K, V, P, and addresses. It just fits.
#
# ## 8. The ladder
#
# Now all six, counted in the PTX machine: how long is each part busy with a million operations?

# %%
seen = {}
for step in cuda.STEPS:
    with observe() as launches:
        cuda.attention(*inputs, step=step)
    seen[step] = launches[0].counters
million = {step: c.tensor_core_operations / 1e6 for step, c in seen.items()}
cycles = {
    step: {
        "tensor cores": 1e6 / (0.63 * 4096),
        "shared memory": c.shared_wavefronts / million[step],
        "exponentials": c.instructions["ex2"] / 16 / million[step],
        "instructions": c.warp_instructions / 4 / million[step],
    }
    for step, c in seen.items()
}

# %%
bounds(cycles, "cycles of a multiprocessor, for a million operations")

# %%
requests = [
    (
        step,
        c.shared_load_requests + c.shared_store_requests,
        c.bank_conflicts,
        100 * c.tensor_core_operations_beside_copies / c.tensor_core_operations,
    )
    for step, c in seen.items()
]
header = ("step", "shared-memory requests", "wavefronts lost to conflicts", "products beside copies, %")
listings.table(header, requests, digits=0)

# %% [markdown]
# Two predictions follow: all parts work at the same time, and the limit decides; or each waits for the others, and their
# times add up. Before step 5, half the operations of a causal call are wasted. **Predict** each step's gain from the
# picture, before you look:

# %%
measured = figures.results(12)  # measured now on your GPU (a minute or two), else the newest in benchmarks/
MISSING = "Not measured: `make bench`, on a machine with a GPU, measures and keeps it."
timed = {row["name"]: row["timing"] for row in (measured or {}).get("rows", ()) if row["timing"]}
rows = []
for step in cuda.STEPS:
    useful = 1.0 if step in ("causal", "tuned") else 0.5
    rate = useful * 132 * 1.755e9 * 1e6 / 1e12  # TFLOP/s, times cycles
    reached = timed.get(f"cuda/{step}", {}).get("tflop_per_s")
    slow, fast = (rate / all_parts(cycles[step].values()) for all_parts in (sum, max))
    rows.append((step, slow, fast, reached or "not measured"))
listings.table(("step", "one after the other, TFLOP/s", "all at once", "measured"), rows, digits=0)

# %% [markdown]
# Why they differ, on the H100 of November 2026:
#
# - `plain` waits for its banks whatever else it does. Its prediction is narrow, and right.
# - `prefetch` gains little: two blocks share a multiprocessor, and one worked while the other waited already.
# - `registers` gains nothing, though it does less. So that wasn't what the step before waited for. A warp's products,
#   shuffles, exponentials and products again form one chain, and there are only two warps for each scheduler.
# - `causal` more than doubles: it also masks less, and more of its keys come from L2.
# - `tuned` shortens the chain (no rescaling, exponentials between products), and is still far from "all at once".
#
# (Instructions are those of PTX; the assembler joins some.)

# %%
peers = ((measured or {}).get("measured") or {}).get("peers", [])


def beside(dtype, head_dim, causal):
    """Version -> length -> TFLOP/s."""
    wanted = [p for p in peers if (p["dtype"], p["head_dim"], p["causal"]) == (dtype, head_dim, causal)]
    names = wanted[0]["tflop_per_s"] if wanted else ()
    return {name: {p["length"]: p["tflop_per_s"][name] for p in wanted} for name in names}


by = beside("bfloat16", 128, True)
others = {name: by[name][4096] for name in ("Triton", "Gluon", "cuDNN") if name in by}
steps = [f"cuda/{step}" for step in cuda.STEPS]
ladder(measured, steps, pytorch="FlashAttention-2", peak=989, others=others) if timed else print(MISSING)

# %% [markdown]
# bfloat16, $d$ = 128, causal, 16,384 tokens of 2,048 numbers in sequences of 4,096. The Triton version,
# [triton_version.py](../../flash_attention/tensor_cores/triton_version.py), is lesson 10's with tiles that a unit of the GPU
# copies by itself; the [Gluon one](../../flash_attention/flash_v2/gluon_version.py) overlaps more. And at other lengths?

# %%
panels = {f"TFLOP/s, d = {d}, causal": beside("bfloat16", d, True) for d in (64, 128)} if peers else {}
where = f"{measured['machine']['gpu']}, {str(measured['machine']['date'])[:10]}: bfloat16" if peers else ""
curves(panels, where, linear=True) if peers else print(MISSING)

# %%
rows = []
names = ("CUDA", "Triton", "Gluon", "cuDNN")
for d in (64, 128, 256) if peers else ():
    for causal in (False, True):
        by = beside("bfloat16", d, causal)
        rows.append([f"d = {d}{', causal' * causal}"])
        for name in names:
            ratios = [by[name][n] / by["FlashAttention-2"][n] for n in by.get(name, ())]
            rows[-1] += (geometric_mean(ratios), min(ratios)) if ratios else ("–", "–")
header = ("times FlashAttention-2", *(title for name in names for title in (name, "least")))
listings.table(header, rows, digits=2) if rows else listings.Markdown(MISSING)

# %%
repeats = ((measured or {}).get("measured") or {}).get("repeats_that_differ")
print(
    MISSING if repeats is None else f"Of 250 launches that repeat one, {repeats} differ from it in any bit."
)

# %% [markdown]
# cuDNN and both Triton versions use `wgmma`: operands straight from shared memory, tensor cores at full rate. That is
# lesson 17.
#
# ## 9. Your turn
#
# Three files, one blank each: `exercise_1.cu` ($S$'s accumulators become $P$'s operand), `exercise_2.cu` (the online
# softmax on fragments) and `exercise_3.cu` (fetch the next tile while this one is worked on; products beside copies are
# counted).
#
# ```
# make check-lesson12
# ```
#
# `make hint-lesson12` gives one hint at a time.
#
# ### Three questions you can now answer
#
# **a.** With 32 rows a warp, why not 48?
#
# <details><summary>Answer</summary>
#
# $48 \cdot (128 + 64) / 32 = 288$ registers for $O$ and $S$ alone; a lane may have 255.
#
# </details>
#
# **b.** Lazy rescaling lets $P$ grow to $2^8$. Why doesn't the result get worse in float16?
#
# <details><summary>Answer</summary>
#
# Rounding errors are relative: 200 is held as precisely as 0.8. Only overflow must be avoided, and 65,504 is far.
#
# </details>
#
# **c.** At $d = 64$ the exponentials take two thirds of the products' time. What could be done, besides overlapping?
#
# <details><summary>Answer</summary>
#
# Compute some of them by a polynomial with ordinary multiplications, beside the special-function unit; FlashAttention-4
# does that on Blackwell.
#
# </details>
