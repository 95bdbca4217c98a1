# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 5: streams_and_timing
#
# At the end of this hour you can
#
# - say how long copies and kernels take together at best, before you write a line;
# - make them overlap with pinned memory and streams, and order them with events;
# - launch a thousand kernels with one call, by a CUDA graph;
# - time a GPU without being fooled.
#
# You need no GPU: without one the schedules are **simulated** from stated speeds, and say so. Measured times come from
# the GPU named beside them.

# %%
import sys

sys.path.append("../..")  # the repository, where the notebook was opened without `make lab`

from dataclasses import asdict

import torch

from cuda_basics.streams import cuda_version as cuda
from cuda_basics.streams.iterate import HERE
from cuda_basics.streams.simulated import Hazard, SimulatedGpu, Speeds
from workbench.report import figures
from workbench.report.factors import factor_bars
from workbench.report.listings import difference, listing, table
from workbench.report.timeline import timeline

# %% [markdown]
# ## 1. Three engines
#
# The data of the last lessons were in the GPU's memory already. Now they are in the host's: copied in, computed, copied
# out. A GPU has an *engine* for each, and the three work at the same time. So whatever the schedule,
#
# $$t \ge \max(t_\text{in},\ t_\text{kernel},\ t_\text{out})$$
#
# The kernel is made to be as long as we like: [line 14 of iterate.cu](../../cuda_basics/streams/iterate.cu#L14) repeats
# $x \leftarrow ax + b$, `rounds` times.
#
# **Predict.** $2^{26}$ floats, copies at 50 GB/s each way, $3 \cdot 10^{13}$ rounds a second. How many rounds last as
# long as the copy in? How long does the whole take, one step after the other, and at best?

# %%
n = 2**26
stated = Speeds(copy_in=50e9, copy_out=50e9, rounds=30e12, host=0.02)
rounds = 2400


def simulated(loop, speeds=stated, **options):
    gpu = SimulatedGpu(speeds, kernel=None)  # the times alone: no data move
    loop(torch.empty(n), rounds, gpu=gpu, **options)
    return [asdict(span) for span in gpu.spans()]


copy, kernel = 4 * n / stated.copy_in * 1e3, n * rounds / stated.rounds * 1e3
print(f"{rounds} rounds: {kernel:.1f} ms, each copy: {copy:.1f} ms")
print(f"one after the other {kernel + 2 * copy:.1f} ms, at best {max(kernel, copy):.1f} ms")

# %% [markdown]
# ## 2. One stream
#
# Nobody can compute what hasn't arrived. So cut x into chunks: while one is computed, the next may travel. First without
# overlap:

# %%
listing(HERE / "sequential.py", part="sequential")

# %% [markdown]
# `copy` and `iterate` return at once. They put work into a **stream**, a queue whose entries run in order, and the host
# goes on. Only `synchronize` waits. Leave it out, and y is returned before it is filled.
#
# y must be **pinned**: the operating system may move other memory, so a copy from there goes through a buffer of
# the driver's, and the host waits for it.
#
# ## 3. Chunks take turns
#
# Work in *different* streams has no order. Each chunk gets a stream, in turn, and a buffer:

# %%
difference(HERE / "sequential.py", HERE / "overlapped.py")

# %% [markdown]
# **Predict.** All three steps last equally long. Are two streams enough to keep every engine busy?

# %%
runs = {
    "one stream": simulated(cuda.sequential, chunks=8),
    "two streams": simulated(cuda.overlapped, chunks=8, buffers=2),
    "three streams": simulated(cuda.overlapped, chunks=8, buffers=3),
}
timeline(runs, "SIMULATED: copies at 50 GB/s each way, a kernel that lasts as long")

# %% [markdown]
# Two are not: three engines need three chunks in flight. And the ends cost: while the first chunk arrives, and the last
# one leaves, two engines idle. With $c$ chunks of equal steps
#
# $$t = \left(1 + \frac{2}{c}\right) t_\text{best}$$
#
# More chunks are better, until a chunk is shorter than the host takes to ask for it.

# %%
rows = []
for chunks in (2, 8, 32, 128, 256):
    spans = simulated(cuda.overlapped, chunks=chunks, buffers=4)
    rows.append((chunks, (1 + 2 / chunks) * copy, max(span["end"] for span in spans)))
table(("chunks", "formula, ms", "SIMULATED, 20 us a call, ms"), rows, digits=2)

# %% [markdown]
# ## 4. A stream for each job
#
# The other way to share the work: one stream copies in, one computes, one copies out. A chunk now passes from stream to
# stream, and an **event** hands it over. `record_event` marks a place in one stream; `wait_event` makes another stream
# (not the host) wait for it.

# %%
listing(HERE / "pipelined.py", part="pipelined")

# %%
timeline({"a stream for each job": simulated(cuda.pipelined, chunks=8)}, "SIMULATED: as above")

# %% [markdown]
# Break it: without `outward.wait_event(computed)`, who keeps a chunk from leaving before it is computed?

# %%
from lessons.lesson05_streams_and_timing.mistakes import slipped

broken = slipped("pipelined.py", "outward.wait_event(computed)", "pass")
try:
    cuda.transform(torch.rand(1000), 10, loop=broken, chunks=4, gpu=SimulatedGpu())
except Hazard as hazard:
    print(hazard)

# %% [markdown]
# The simulated GPU keeps account of who is ordered after whom, so it finds this every time. A real one says nothing, and
# may even be right:

# %%
MISSING = "Not measured: `make bench`, on a machine with a GPU, measures and keeps it."
results = figures.results(5)  # measured now on your GPU (a minute), else the newest in benchmarks/
measured = results and results.get("measured")
where = f"{results['machine']['gpu']}, {results['machine']['date'][:10]}" if measured else ""
if measured:
    header = ("wait left out", *(f"{run['chunks']} chunks" for run in measured["luck"]))
    waits = measured["luck"][0]["wrong"]
    rows = [(f"`{wait}`", *(f"{run['wrong'][wait]:.1%}" for run in measured["luck"])) for wait in waits]
    print(f"{where}: how much of the answer is wrong")
table(header, rows) if measured else print(MISSING)

# %% [markdown]
# No share is a promise: another chunk size, host or day, and it is another. A wait that seems to be unneeded is a mistake
# that hasn't shown.
#
# ## 5. Measured
#
# The same picture from a real GPU, by an event before and after each operation. (An event tells when its stream was
# ready. A bar begins no sooner than the engine's one before it ended.)

# %%
timeline(measured["timelines"], f"Measured: {where}") if measured else print(MISSING)

# %% [markdown]
# How near is that to what the slower of copies and kernel allows? In and out share the way to the host, so both at once
# are slower than each alone. The bound is the largest of the four.

# %%
if measured:
    size, chunks = measured["n"] * 4 // 2**20, measured["overlap"][0]["chunks"]
    print(f"{where}: {size} MiB each way in {chunks} chunks, milliseconds")
    rows = []
    for run in measured["overlap"]:
        loops = [time["median"] for time in run["times"].values()]
        best = f"{run['lower_bound'] / min(loops):.0%}"
        rows.append((run["rounds"], *run["engines"].values(), run["both_ways"], *loops, best))
header = ("rounds", "in", "kernel", "out", "in and out at once", *cuda.LOOPS, "bound / fastest")
table(header, rows) if measured else print(MISSING)

# %% [markdown]
# ## 6. Six ways to be fooled
#
# Asynchrony makes timing hard. Each of these was measured: the fooled clock's figure, divided by an honest one.
#
# - **Cold start.** The mean of the first ten calls: the first one compiles and loads.
# - **Asynchronous launch.** The host's clock, read before the GPU is done.
# - **Warm L2.** The same 16 MiB call after call: they are in the cache.
# - **Starved.** Events around a kernel shorter than its launch: the GPU waits for the host between them.
# - **Skewed sample.** The mean of 2,000 calls from a host that has other work now and then, instead of their median.
# - **Zeros.** A matrix product of zeros: fewer transistors switch, and the clock stays higher.
#
# **Predict**, for each: too long or too short?

# %%
if measured:
    fooled = measured["fooled"]
    cold, late, warm = fooled["cold_start"], fooled["asynchronous_launch"], fooled["warm_l2"]
    starved, skewed, zeros = fooled["starved"], fooled["skewed_sample"], fooled["zeros"]
    factors = {
        "cold start": cold["mean_of_ten"] / cold["honest"],
        "asynchronous launch": late["host_without_waiting"] / late["honest"],
        "warm L2": warm["warm"] / warm["honest"],
        "starved": starved["between_events"] / starved["honest"],
        "skewed sample": skewed["mean"] / skewed["median"],
        "zeros": zeros["honest"] / zeros["zeros"],
    }
factor_bars(factors, "time measured / honest time", f"Measured: {where}") if measured else print(MISSING)

# %% [markdown]
# The stopwatch of this course, `workbench.timing.stopwatch`, leaves none of it out. In short:

# %%
listing(HERE / "stopwatch.py", part="stopwatch")

# %% [markdown]
# ## 7. Many small launches
#
# A launch costs the host some microseconds, more from Python. Kernels shorter than that leave the GPU idle. A **CUDA
# graph** records them once; then one call launches all.

# %%
listing(HERE / "launches.py", part="_captured")

# %% [markdown]
# **Predict.** For which n does the graph gain nothing?

# %%
runs = measured and measured.get("small_launches")
if runs:
    print(f"{where}: microseconds a launch")
    rows = [(run["n"], run["one_by_one"], run["pytorch"], run["graphed"]) for run in runs]
header = ("n", "ours, one by one", "PyTorch's, one by one", "ours, as a graph")
table(header, rows) if runs else print(MISSING)

# %% [markdown]
# ## 8. Your turn
#
# `exercise.py` has three blanks: `overlapped`, `pipelined` and `stopwatch`. Fill them in and run
#
# ```
# make check-lesson5
# ```
#
# Your loops must be right **and** overlap; your stopwatch is tried on simulated GPUs whose times are known.
# `make hint-lesson5` gives one hint at a time.
#
# ### Three questions you can now answer
#
# **a.** Copies take 4 ms each way, the kernel 10 ms. What do 20 chunks in three streams take, about?
#
# <details><summary>Answer</summary>
#
# The kernel's 10 ms, plus the first chunk's way in and the last one's way out, $2 \cdot 4 / 20$ ms: 10.4 ms.
#
# </details>
#
# **b.** A loop without a wait gives the right answer in a thousand runs. Is it right?
#
# <details><summary>Answer</summary>
#
# No. Nothing orders the two operations: a slower host, a longer kernel or another chunk size shows it.
#
# </details>
#
# **c.** A colleague times a kernel of 3 µs with two events and gets 40 µs. What is in those 40?
#
# <details><summary>Answer</summary>
#
# The launch: the first event happened on an idle GPU, which then waited for the host. Keep it busy first.
#
# </details>
