# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 1: hello_cuda
#
# At the end of this hour you can
#
# - launch a kernel, and say how many threads run it;
# - say which element a thread owns, in one direction and in two;
# - count the idle threads, and protect an array from them;
# - say what a warp and a lane are.
#
# You need no GPU. Without one, NVIDIA's own compiler translates each kernel, and the *PTX machine*, a program in this
# repository, executes the result on the CPU and watches every memory access.
#
# Have paper and a pencil ready: before some cells you are asked for a prediction.

# %%
import sys

sys.path.append("../..")  # the repository, where the notebook was opened without `make lab`

import tempfile
from pathlib import Path

import torch

from cuda_basics.hello import cuda_version as cuda
from workbench.cuda import load, observe
from workbench.gpu import has_gpu
from workbench.ptx import Fault
from workbench.report import figures, listings

# %% [markdown]
# ## 1. A function that runs many times
#
# A *kernel* is a function for the GPU. You don't call it once, you *launch* it: many *threads* run it, each once.
# Threads are grouped into *blocks*; all blocks of a launch are its *grid*. The smallest kernel there is:

# %%
listings.listing(cuda.HERE / "hello.cu")

# %% [markdown]
# `__global__` marks a kernel, and `extern "C"` keeps its name as written, so that it can be found.
#
# **Predict.** Launched with 2 blocks of 4 threads: how many lines does it print, and in which order?

# %%
hello = load(cuda.HERE / "hello.cu", "hello")
hello(2, 4, ())  # grid, block, arguments
if has_gpu():
    torch.cuda.synchronize()  # a GPU prints when it is waited for; its lines may go to the terminal that runs Jupyter

# %% [markdown]
# One line a thread: $2 \cdot 4 = 8$. The order was a trick question: a GPU starts a block wherever there is room, so
# no order of blocks is promised, and a kernel must be right in all of them.
#
# `load` compiles a kernel of a file. Launched on tensors on a GPU, it runs there; on tensors on the CPU, in the PTX
# machine. On a GPU it stands for these lines of CuPy, yours to take home (they need a GPU, so they aren't run here):
#
# ```python
# import cupy
#
# hello = cupy.RawKernel(open("hello.cu").read(), "hello")
# hello((2,), (4,), ())             # grid, block, arguments
# cupy.cuda.Device().synchronize()  # a launch returns at once; this waits for the kernel, and for its lines
# ```

# %% [markdown]
# ## 2. Which element is mine?
#
# All threads run the same code. What differs is two built-in variables: `blockIdx.x`, which block I am in, and
# `threadIdx.x`, which thread of that block I am. The sizes are the same for all: `blockDim.x` threads in a block,
# `gridDim.x` blocks in the grid.
#
# To own an element of an array, a thread counts the threads before it: those of the blocks before its own, then those
# in its own block.
#
# $$i = \texttt{blockIdx.x} \cdot \texttt{blockDim.x} + \texttt{threadIdx.x}$$
#
# In this kernel, each thread writes down who it is, in element $i$ of four arrays:

# %%
listings.listing(cuda.HERE / "who_am_i.cu")

# %% [markdown]
# **Predict.** With blocks of 64 threads, which thread of which block writes element 100?

# %%
with observe(trace=True) as launches:  # the PTX machine records each access
    block, thread, warp, lane = cuda.who_am_i(150, threads_per_block=64)

print(f"element 100: block {block[100]}, thread {thread[100]}")

# %% [markdown]
# $100 = 1 \cdot 64 + 36$. And the other elements: who writes which? Here are all threads of that launch, with
# what each was seen to write. A row is 32 threads, a *warp*, and the place in it the *lane*; section 4 says why.

# %%
figures.thread_map(launches[0], "block", grid=3, block=64)

# %% [markdown]
# Every element has one writer, and neighbouring threads write neighbouring elements. Lesson 2 shows what that is worth.

# %% [markdown]
# ## 3. Sizes never divide evenly
#
# The last block of the figure reaches past the array. A launch has whole blocks only, so their number is rounded up:
#
# $$\text{blocks} = \left\lceil \frac{n}{\text{threads per block}} \right\rceil$$
#
# **Predict.** For $n = 1000$ and 128 threads a block: how many blocks, how many threads, how many of them idle?

# %%
with observe(trace=True) as launches:
    cuda.who_am_i(1000, threads_per_block=128)

blocks = -(-1000 // 128)  # rounded up
writers = len(figures.elements(launches[0], "block", "store"))
print(f"{blocks} blocks, {blocks * 128} threads; {writers} of them write, {blocks * 128 - writers} are idle")

# %% [markdown]
# What keeps the idle ones from the arrays is the guard, `if (i < n)`, in
# [line 8 of who_am_i.cu](../../cuda_basics/hello/who_am_i.cu#L8). Nothing else does. Take it away and see:

# %%
broken = Path(tempfile.mkdtemp()) / "who_am_i.cu"
broken.write_text((cuda.HERE / "who_am_i.cu").read_text().replace("if (i < n)", "if (true)"))

try:
    cuda.who_am_i(1000, threads_per_block=128, source=broken)
except Fault as fault:
    print(fault)

# %% [markdown]
# The message names the line, the array, and the first thread that left it. A GPU says nothing of the kind: it writes
# behind the array, into whatever lies there, and the result often looks right for weeks. So `make check-lesson1` runs
# your kernel in the PTX machine even where there is a GPU.

# %% [markdown]
# ## 4. Warps and lanes
#
# The hardware doesn't run threads one at a time. It cuts each block into *warps* of 32 and runs each instruction for a
# whole warp. A thread's place in its warp is its *lane*:
#
# $$\text{warp} = \lfloor \texttt{threadIdx.x} / 32 \rfloor, \qquad \text{lane} = \texttt{threadIdx.x} \bmod 32$$
#
# Warps are cut from one block, never across two.
#
# **Predict.** A block of 100 threads: how many warps does it have, and how many lanes of its last one hold a thread?
# Which lane writes element 100?

# %%
with observe(trace=True) as launches:
    block, thread, warp, lane = cuda.who_am_i(250, threads_per_block=100)

print(f"element 100: block {block[100]}, warp {warp[100]}, lane {lane[100]}; 100 % 32 is {100 % 32}")
figures.thread_map(launches[0], "block", grid=3, block=100)

# %% [markdown]
# Four warps, and the last has threads in four lanes only. The other 28 lanes are empty, but the hardware runs the
# warp at the same cost. That is why block sizes are multiples of 32. And element 100 belongs to lane 0, not lane 4:
# lanes follow from `threadIdx.x`, not from $i$.

# %% [markdown]
# ## 5. Two directions
#
# For images and matrices, grids and blocks may have a second direction, `y` (and a third, `z`). Each gets the same sum:

# %%
listings.listing(cuda.HERE / "coordinates.cu")

# %% [markdown]
# Memory has one direction only. The table lies in it row after row, so element (row, column) has `row` whole rows
# before it: its place is `row * columns + column`.
#
# The threads of a block are lined up the same way, x first, before warps are cut. With blocks 32 wide, a warp is one
# row of its block.
#
# **Predict.** A table of 20 rows and 70 columns, blocks 32 wide and 8 high: how many blocks, how many idle threads, and
# where are they?

# %%
with observe(trace=True) as launches:
    table = cuda.coordinates(20, 70)

print(f"table[13, 40] is {table[13, 40]}")
grid = (-(-70 // 32), -(-20 // 8))  # rounded up in both directions
figures.grid_map(launches[0], "table", (20, 70), grid=grid, block=(32, 8))

# %% [markdown]
# $3 \cdot 3$ blocks of 256 threads make 2,304 for 1,400 elements: 904 are idle, at the right and lower edge. In a large
# table the edges hardly count.
#
# Both directions need their guard. Without `row < rows`, the thread at row 20, column 0 writes to place
# $20 \cdot 70 + 0 = 1400$, behind the array. Without `column < columns`, the thread at row 0, column 70 writes to
# place 70, *inside* the array: that is element (1, 0), which another thread writes too. Which value stays is chance:
# a *race*.

# %% [markdown]
# ## 6. Your turn
#
# `exercise.cu`, in this notebook's folder, has two blanks, `who_am_i` and `coordinates`, each below its specification in
# NumPy. Fill them in, then ask the checker, in a terminal at the repository's root:
#
# ```
# make check-lesson1
# ```
#
# It runs the shipped kernels and yours on sizes that divide nothing, and says what went wrong, with the likely mistake
# and where to read. Leave out a guard once, to have met that message. `make hint-lesson1` gives one hint at a time.
#
# ### Three questions you can now answer
#
# **a.** 40 blocks of 256 threads for $n = 10\,000$ elements: how many threads are idle, and in which blocks?
#
# <details><summary>Answer</summary>
#
# $40 \cdot 256 - 10\,000 = 240$, all in the last block, 39. It starts at element 9,984, so 16 of its threads work.
#
# </details>
#
# **b.** With 192 threads a block, who writes element 1,000: which block, thread, warp, lane?
#
# <details><summary>Answer</summary>
#
# $1000 = 5 \cdot 192 + 40$: block 5, thread 40. $40 = 1 \cdot 32 + 8$: warp 1, lane 8.
#
# </details>
#
# **c.** Without its column guard, `coordinates` fills a table of 64 columns correctly. Why does that prove nothing?
#
# <details><summary>Answer</summary>
#
# 64 is a multiple of 32, the width of a block: no thread stands beyond the last column. A size that divides nothing
# shows the mistake.
#
# </details>
