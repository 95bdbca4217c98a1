# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 2: vector_add
#
# At the end of this hour you can
#
# - say how fast a kernel can be at best on a given GPU, before you write it;
# - tell from its index what memory traffic a kernel causes, and what a bad index costs;
# - add vectors 16 bytes at a time in CUDA, and in Triton;
# - judge a measured bandwidth.
#
# You need no GPU: the PTX machine counts everything except time. The times shown come from a GPU named beside them.

# %%
import sys

sys.path.append("../..")  # the repository, where the notebook was opened without `make lab`

import tempfile
from pathlib import Path

import torch

from cuda_basics.vector_add import cuda_version as cuda
from triton_basics import vector_add as triton_version
from workbench.cuda import observe
from workbench.gpu import has_gpu
from workbench.ptx import Fault
from workbench.report import figures, listings

# %% [markdown]
# ## 1. The floor
#
# For each element, $c = a + b$ reads two numbers, adds them and writes one. The addition is nothing to a GPU. The
# numbers must come from its memory and go back to it, and memory delivers so many bytes a second, its bandwidth. So
# for $n$ floats no kernel is faster than
#
# $$t_\text{floor} = \frac{\text{bytes}}{\text{bandwidth}} = \frac{3 \cdot 4 \cdot n}{\text{bandwidth}}$$
#
# Work whose floor is set by bytes, not by arithmetic, is *memory-bound*.
#
# **Predict**, on paper, for $n = 2^{27}$: how many bytes move, and how many milliseconds does that take on your GPU?
# Its bandwidth is in its data sheet; if you have none, take a T4 with 320 GB/s.

# %%
n = 2**27
must_move = 3 * 4 * n
sheets = {"T4": 320, "RTX 3060": 360, "RTX 4090": 1008, "A100 80 GB": 2039, "H100 SXM": 3350, "H200": 4800}

print(f"{must_move / 1e9:.2f} GB must move")
rows = [(gpu, bandwidth, must_move / bandwidth / 1e6) for gpu, bandwidth in sheets.items()]
listings.table(("GPU", "GB/s, data sheet", "floor in ms"), rows, digits=2)

# %% [markdown]
# No kernel gets all that a data sheet promises. The fair ceiling is what a copy reaches on the GPU at hand, measured
# in the same run as the kernels.

# %%
measured = figures.results(2)  # measured now on your GPU (half a minute), else the newest in benchmarks/
if measured:
    copy = next(row["timing"]["copy_gb_per_s"] for row in measured["rows"] if row["timing"])
    gpu, date = measured["machine"]["gpu"], measured["machine"]["date"]
    print(f"{gpu}, {date}: a copy moves {copy:,.0f} GB/s, so the floor is {must_move / copy / 1e6:.3f} ms")
else:
    print("There is no GPU here, and benchmarks/ holds no measurement: the times of this lesson are missing.")

# %% [markdown]
# ## 2. Three versions of one loop
#
# The first is lesson 1's index and guard with one line between the braces:

# %%
listings.listing(cuda.HERE / "plain.cu")

# %% [markdown]
# The second adds the same elements, but its threads walk through them in another order: down the columns of a table
# that is 8 elements wide. Neighbouring threads are 8 elements apart.

# %%
listings.difference(cuda.HERE / "plain.cu", cuda.HERE / "strided.cu")

# %% [markdown]
# The third, vectorised, waits for section 5. All three add correctly:

# %%
a, b = torch.rand(99_999), torch.rand(99_999)
versions = {
    "plain": cuda.vector_add,
    "strided": cuda.vector_add_strided,
    "vectorised": cuda.vector_add_vectorised,
}
for name, add in versions.items():
    print(f"{name:12} {'equal to a + b' if torch.equal(add(a, b), a + b) else 'WRONG'}")

# %% [markdown]
# They also share the guard. One character too many in it, `i <= n`, lets a single thread too many through:

# %%
broken = Path(tempfile.mkdtemp()) / "plain.cu"
broken.write_text((cuda.HERE / "plain.cu").read_text().replace("i < n", "i <= n"))

try:
    cuda.vector_add(a, b, source=broken)
except Fault as fault:
    print(fault)

# %% [markdown]
# ## 3. What a warp asks for
#
# A load instruction runs for the 32 threads of a warp at once, and makes one *request*. Memory answers in *sectors*
# of 32 bytes: for each sector that holds a wanted byte, all 32 bytes travel. Plain's warp wants $32 \cdot 4$ bytes in
# a row, which lie in 4 sectors.
#
# **Predict.** How many sectors does a request of the strided version take? Its index is in
# [line 14 of strided.cu](../../cuda_basics/vector_add/strided.cu#L14).

# %%
small = torch.rand(1024)
traced = {}
for name, add in versions.items():
    with observe(trace=True) as launches:
        add(small, small.clone())
    traced[name] = launches[0]

figures.sector_map({name: traced[name] for name in ("plain", "strided")}, "a")

# %% [markdown]
# When a warp's accesses fall into few sectors they are *coalesced*. The strided warp takes a sector for each of its
# threads and uses an eighth of it. The next table counts all requests of a launch, loads and stores, and the
# instructions of all warps. What do you expect float16 to change?

# %%
rows = []
for dtype in (torch.float32, torch.float16):
    for name, add in versions.items():
        with observe() as launches:
            add(a.to(dtype), b.to(dtype))
        seen, needed = launches[0].counters, 3 * a.numel() * dtype.itemsize
        rows.append((name, str(dtype)[6:], seen.global_requests, seen.sectors_per_request))
        rows[-1] += (seen.bytes_moved // 1000, seen.bytes_moved / needed, seen.warp_instructions)
header = ("version", "dtype", "requests", "sectors / request", "kB moved", "moved / needed", "instructions")
listings.table(header, rows)

# %% [markdown]
# float16 halves what is needed and what is moved: strided still wastes seven bytes of eight.

# %% [markdown]
# ## 4. Predict the strided version
#
# A memory-bound kernel takes the time of the bytes that travel, useful or not:
#
# $$t_\text{strided} \approx \frac{32 \text{ sectors}}{4 \text{ sectors}} \cdot t_\text{plain} = 8 \, t_\text{plain}$$
#
# **Predict.** Will the measured factor be 8, less or more? Two things that the count leaves out:
#
# - **Caches.** Each sector is fetched for one element now, and for its seven neighbours later. If it is still in the L2
#   cache by then, memory isn't asked again, and the factor shrinks. At $n = 2^{27}$ each array takes 512 MiB, more than
#   L2 holds.
# - **Partial writes.** A store that fills 4 of a sector's 32 bytes may make the memory read the rest first. The factor
#   grows.
#
# Write your factor down; section 7 has the measured one.

# %% [markdown]
# ## 5. Sixteen bytes at a time
#
# Plain wastes no byte. It can still save instructions: a thread can load 16 bytes with one.

# %%
listings.difference(cuda.HERE / "plain.cu", cuda.HERE / "vectorised.cu")

# %% [markdown]
# Three things to see:
#
# - `alignas(16)` is a promise that each `Pack` starts at a multiple of 16 bytes; without it the compiler uses small
#   loads. The launcher keeps the promise: it hands tensors such as `a[1:]` to plain.
# - All `WIDTH` elements of a pack have to be added, not just the first.
# - Sizes never divide evenly: elements after the last whole pack, the *tail*, are added one by one.
#
# **Predict.** How many sectors does one request take now, and how many bytes move in all?

# %%
figures.lane_map({name: traced[name] for name in ("plain", "vectorised")}, "a")

# %% [markdown]
# Four times the sectors for each request, but a quarter of the requests: the same bytes. Sectors per request mean
# something only beside the bytes that the request wanted. What shrinks is the number of instructions (the last column
# of section 3's table). What grows is the number of bytes that each thread waits for, and that can matter more. Bytes
# take time to arrive, so memory is busy only while enough of them are on their way (Little's law):
#
# $$\text{bytes in flight} = \text{bandwidth} \cdot \text{latency}$$
#
# The faster the memory, the sooner 4 bytes a thread are too few.

# %% [markdown]
# ## 6. The same in Triton
#
# In Triton you don't write what a thread does. A *program* handles a whole block of elements, and the compiler deals
# them out to threads, so that accesses are coalesced and, where it can prove alignment, 16 bytes wide.

# %%
listings.listing(Path(triton_version.__file__), part="vector_add_kernel")

# %% [markdown]
# `tl.program_id(0)` takes the place of `blockIdx.x`, `tl.arange` that of all `threadIdx.x` together. The guard is a
# mask, which both loads and the store need. Without a GPU it runs in Triton's interpreter:

# %%
device = "cuda" if has_gpu() else "cpu"
x, y = a.to(device), b.to(device)
print("equal to a + b" if torch.equal(triton_version.vector_add(x, y), x + y) else "WRONG")

# %% [markdown]
# ## 7. Measured
#
# How near does each version come to the ceiling? Bars are the bytes that must move over the time taken, so wasted
# bytes make them short. The dashed line is the copy.

# %%
MISSING = "Not measured: `make bench`, on a machine with a GPU, measures and keeps it."
figures.bandwidth_bars(measured) if measured else print(MISSING)

# %% [markdown]
# At the dashed line a kernel is done: only moving fewer bytes would make it faster. (A bar may pass it a little: a copy
# writes half of its bytes, the sum only a third.) Plain stays short of the line: too few bytes in flight.
#
# And the price of the wrong order? Predicted is the time of the bytes that were counted, at the bandwidth of the copy.

# %%
if measured:
    times = {name: (predicted, taken) for name, predicted, taken in figures.predictions(measured)}
    predicted, taken = (s / p for s, p in zip(times["cuda/strided"], times["cuda/plain"], strict=True))
    print(f"strided against plain: predicted {predicted:.1f} times as long, measured {taken:.1f} times")
figures.prediction_bars(measured) if measured else print(MISSING)

# %% [markdown]
# On an H100 the factor is 9.4, on an H200 8: both versions take longer than their bytes explain. Plain has too few bytes
# in flight. Strided has plenty, so partial writes are the suspect. What does your GPU say?
#
# ## 8. Your turn
#
# `exercise.cu` has two blanks, `vector_add` and `vector_add_vectorised`; `exercise.py` has one, for Triton. Fill them in
# and run
#
# ```
# make check-lesson2
# ```
#
# Without a GPU its table shows sectors and bytes; with one, your percentage of the copy.
# `make hint-lesson2` gives one hint at a time.
#
# ### Three questions you can now answer
#
# **a.** What is the floor for $n = 2^{27}$ float16 elements at 2,000 GB/s?
#
# <details><summary>Answer</summary>
#
# $3 \cdot 2 \cdot 2^{27}$ bytes are 0.805 GB: 0.40 ms.
#
# </details>
#
# **b.** Neighbouring threads read floats that are 2 elements apart. How many sectors does a request take, and what
# part of them is used?
#
# <details><summary>Answer</summary>
#
# 32 threads span $32 \cdot 8 = 256$ bytes: 8 sectors, half of each used.
#
# </details>
#
# **c.** A colleague halves the number of additions in a kernel that reaches 98 % of the copy. What does it gain?
#
# <details><summary>Answer</summary>
#
# Nothing to speak of. The kernel waits for bytes, and just as many move as before.
#
# </details>
