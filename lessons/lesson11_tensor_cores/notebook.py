# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 11: tensor_cores
#
# At the end of this hour you can
#
# - say which lane of a warp holds which element of a matrix product, and load it there;
# - predict what bank conflicts cost, and lay out a tile without any;
# - keep copies on their way while others are multiplied;
# - read five kernels, from the first `wmma` to a tuned pipeline, as differences.
#
# You need no GPU. The times shown come from a GPU named beside them.

# %%
import sys

sys.path.append("../..")  # the repository, where the notebook was opened without `make lab`

import tempfile
from pathlib import Path

import torch

from cuda_basics.tensor_cores import cuda_version as cuda
from workbench.cuda import observe, resources
from workbench.ptx import Fault
from workbench.report import figures, listings
from workbench.report.fragments import banks, fragments
from workbench.report.ladder import ladder

# %% [markdown]
# ## 1. One instruction, 4,096 operations
#
# Lesson 3 ended near the limit of ordinary arithmetic. Beside it, a multiprocessor has *tensor cores*: a warp hands
# them two small matrices, and they multiply them in one instruction. They take float16 or bfloat16 and add up in
# float32. `mma.sync.m16n8k16` multiplies $16 \times 16$ by $16 \times 8$. That is $2 \cdot 16 \cdot 8 \cdot 16 = 4096$
# operations, where a warp's fused multiply-add does 64.
#
# **Predict.** An H100's data sheet promises 67 TFLOP/s in float32 and 989 in bfloat16. Lesson 3's kernels took each
# number from shared memory into registers and used it 8 times. Will that still do?

# %% [markdown]
# ## 2. Who holds what
#
# No lane holds a whole matrix. The 32 lanes hold it together, as *fragments*: a few registers each, with two 16-bit
# elements in a register of A or B and one float in one of C.
#
# **Predict** before you look at the picture, from the comment in
# [primitives.cuh](../../cuda_basics/tensor_cores/primitives.cuh#L1): with $g = \text{lane} / 4$ and
# $t = \text{lane} \bmod 4$, what does lane 5 hold?
#
# The picture isn't drawn from that comment. It was found out: a warp loaded matrices whose elements are their own
# numbers, multiplied them, and every lane wrote down what it got.

# %%
fragments(cuda.layouts(), lane=5)

# %% [markdown]
# Elements of a column of B lie in one register, so B, which lies row after row in memory, must be turned on the way.
# `ldmatrix` does that. It loads four $8 \times 8$ matrices from shared memory: each lane gives the address of a row
# (16 bytes), and each gets the elements that its fragment needs; with `.trans` it gets them transposed.
#
# Here is a product with the fragments filled by hand, one warp a tile:

# %%
listings.listing(cuda.HERE / "one_mma.cu")

# %% [markdown]
# ## 3. From wmma to mma.sync
#
# `nvcuda::wmma` hides all of this. Its fragments are opaque: you load, multiply, store. The first step of our ladder
# uses it; a block of four warps computes $128 \times 128$ of C, each warp $64 \times 64$. The second step uses the
# instructions themselves.

# %%
listings.difference(cuda.HERE / "wmma.cu", cuda.HERE / "mma_sync.cu")

# %% [markdown]
# **Predict**: how many registers do a warp's sums take in each lane? How many bytes of shared memory does a block need
# for one pair of tiles, $128 \times 64$ of A and $64 \times 128$ of B? And for the next steps: three pairs, and three
# wider ones with $64 \times 256$ of B?
#
# $64 \cdot 64 / 32 = 128$ registers; $2 \cdot (128 \cdot 64 + 64 \cdot 128)$ bytes are 32 KiB; then 96 and 144 KiB. The
# compiler's answers:

# %%
shared = {"pipelined": 3 * cuda.PAIR, "tuned": 3 * cuda.WIDE_PAIR}
rows = []
for step in cuda.STEPS:
    defines = {"SCALAR": "__nv_bfloat16", "ALIGNED": 1} | ({"STAGES": 3} if step == "tuned" else {})
    found = [
        resources(cuda.HERE / f"{step}.cu", f"matmul_{step}", defines, target)
        for target in ("sm_80", "sm_90")
    ]
    kib = (shared.get(step, 0) or found[1].shared_memory) / 1024
    rows.append((step, found[0].registers, found[1].registers, kib, found[1].spill_stores))
listings.table(("step", "registers, sm_80", "sm_90", "shared, KiB", "bytes spilled"), rows, digits=0)

# %% [markdown]
# ## 4. Bank conflicts, before and after
#
# Shared memory has 32 banks of 4 bytes and gives 128 bytes at a time, a wavefront. `ldmatrix` wants 8 rows of 16 bytes
# at a time: one wavefront, if they lie in different banks. But rows of A's tile are 128 bytes apart.
#
# **Predict**: how many wavefronts does an `ldmatrix.x4` take?

# %%
traced = {}
for step in ("mma_sync", "swizzled"):
    with observe(trace=True) as launches:
        cuda.STEPS[step](torch.ones(128, 64).half(), torch.ones(64, 128).half())
    traced[step] = launches[0]
banks(traced, "A_tile")

# %% [markdown]
# The *swizzle* on the right moves nothing to another row. It only changes the order within: chunk $c$ of row $r$ lies
# at $c \oplus (r \bmod 8)$. XOR with one number is a shuffle without collisions, and 8 rows get 8 different ones.

# %%
listings.difference(cuda.HERE / "mma_sync.cu", cuda.HERE / "swizzled.cu")

# %% [markdown]
# What is that worth? A multiprocessor serves one wavefront a cycle. If shared memory is the limit, the operations for
# each wavefront say how fast a step can be, here on 132 multiprocessors at 1.755 GHz:

# %%
a, b = torch.rand(256, 512).bfloat16(), torch.rand(512, 256).bfloat16()
predicted, rows, beside, counters = {}, [], {}, {}
for step, matmul in cuda.STEPS.items():
    with observe() as launches:
        matmul(a, b)
    seen = counters[step] = launches[0].counters
    each = seen.tensor_core_operations / seen.shared_wavefronts
    predicted[step] = each * 132 * 1.755e9 / 1e12
    beside[step] = seen.tensor_core_operations_beside_copies / seen.tensor_core_operations
    rows.append((step, seen.shared_wavefronts, seen.bank_conflicts, round(each), predicted[step]))
header = ("step", "wavefronts", "of them conflicts", "operations / wavefront", "limit, TFLOP/s")
listings.table(header, rows, digits=0)

# %% [markdown]
# The first two steps can't get far, whatever else they do. For the others shared memory isn't the limit; something else
# is. Section 1's 8 uses of a wavefront's 64 numbers are 512 operations: 119 TFLOP/s. (What `cp.async` writes isn't
# counted, as in Nsight Compute.)
#
# ## 5. Tiles on their way
#
# In the first three steps a block fetches, waits, multiplies, and fetches again. While it waits, its tensor cores idle.
# `cp.async` copies from global to shared memory without a register between, and without waiting. With three places for
# pairs of tiles, two are on their way while the third is multiplied:

# %%
listings.difference(cuda.HERE / "swizzled.cu", cuda.HERE / "pipelined.cu")

# %% [markdown]
# One barrier does two jobs: what all threads have copied is there, and what they have read may be overwritten. Copies
# are counted in groups, so a group is ended also where nothing was left to fetch. Wait for one group too few, and you
# read what hasn't come:

# %%
broken = Path(tempfile.mkdtemp()) / "pipelined.cu"
text = (cuda.HERE / "pipelined.cu").read_text()
broken.write_text(text.replace("wait_copy_groups<STAGES - 2>", "wait_copy_groups<STAGES - 1>"))

try:
    cuda.matmul_pipelined(a, b, source=broken)
except Fault as fault:
    print(fault)

# %% [markdown]
# On a GPU this is a wrong result now and then. The machine also counts which products had a copy under way beside them:

# %%
listings.table(("step", "products beside copies, %"), [(step, 100 * part) for step, part in beside.items()])

# %% [markdown]
# ## 6. Fewer bytes for each product
#
# The last step was tuned by measuring some sixty variants on an H100. What stayed:

# %%
listings.difference(cuda.HERE / "pipelined.cu", cuda.HERE / "tuned.cu")

# %% [markdown]
# - **A tile of $128 \times 256$**, eight warps. Fewer bytes come from L2 for each product.
# - **Two sets of fragments.** While one is multiplied, the next is loaded.
# - **Blocks in groups.** Blocks that run at a time share rows of A and columns of B, which then stay in L2.
# - **Addresses computed once.** The swizzle doesn't change from a thread's first chunk to its others.
# - **16-byte stores.**
#
# N needn't be a multiple of 8. Then rows of B start anywhere, and `cp.async` can't copy 16 bytes of them: the launcher
# compiles the same file with `ALIGNED=0`, which reads B element by element.
#
# ## 7. Measured
#
# **Predict** the order of gains, from wmma to tuned. Which step gains most, and which does shared memory limit?

# %%
measured = figures.results(11)  # measured now on your GPU (a minute), else the newest in benchmarks/
MISSING = "Not measured: `make bench`, on a machine with a GPU, measures and keeps it."
names = [f"cuda/{step}" for step in cuda.STEPS]
ladder(measured, names, pytorch="PyTorch (cuBLAS)", peak=989) if measured else print(MISSING)

# %%
rows = []
for row in measured["rows"] if measured else ():
    step = row["name"].removeprefix("cuda/")
    if step in predicted and row["timing"]:
        reached = row["timing"]["tflop_per_s"]
        rows.append((step, predicted[step], reached, 100 * reached / predicted[step]))
header = ("step", "limit of shared memory, TFLOP/s", "measured", "in %")
listings.table(header, rows, digits=0) if rows else listings.Markdown(MISSING)

# %% [markdown]
# And Nsight Compute's counts, for section 4's product:

# %%
gpu = ((measured or {}).get("measured") or {}).get("steps", {})
rows = [
    (
        *(step, counters[step].bank_conflicts, it["conflicts"]),
        *(counters[step].shared_wavefronts, it["wavefronts"], it["registers"], it["shared_memory"] / 1024),
    )
    for step, it in gpu.items()
]
header = ("conflicts here", "on the GPU", "wavefronts here", "on the GPU", "registers", "shared, KiB")
listings.table(("step", *header), rows, digits=0) if rows else listings.Markdown(MISSING)

# %% [markdown]
# Where the limit is near, we know what the step waits for. Elsewhere it waits for something uncounted: first for copies,
# then for barriers and for the tensor cores. On Hopper `mma.sync` can't reach the peak: cuBLAS uses `wgmma`, lesson 17's
# instruction, which takes operands from shared memory. Lesson 12 takes these five steps to attention.
#
# ## 8. Your turn
#
# Three files, one blank each: `exercise_1.cu` (the fragments of one `mma`), `exercise_2.cu` (find a swizzle; the
# conflicts are the score) and `exercise_3.cu` (fetch ahead; products beside copies are counted).
#
# ```
# make check-lesson11
# ```
#
# `make hint-lesson11` gives one hint at a time.
#
# ### Three questions you can now answer
#
# **a.** Attention multiplies a score matrix, just computed as C, by V. Must it go through shared memory to become A?
#
# <details><summary>Answer</summary>
#
# No. Two neighbouring $16 \times 8$ tiles of C, rounded to 16 bits, lie in the lanes where A's fragment wants them.
#
# </details>
#
# **b.** Instead of a swizzle, each row of A's tile is made 16 bytes longer. Conflicts?
#
# <details><summary>Answer</summary>
#
# None: rows then start 4 banks further each time. It costs a ninth of the shared memory.
#
# </details>
#
# **c.** With five places for tiles instead of three, what may be gained, and what is lost?
#
# <details><summary>Answer</summary>
#
# Slower memory can be waited out. But the places take shared memory, and fewer blocks fit on a multiprocessor.
#
# </details>
