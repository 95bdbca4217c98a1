"""Lesson 5: fill in the blanks, then run  make check-lesson5

The GPU is handed to your functions: `gpu` is a real one or a simulated one, and both have the same methods.

    gpu.pinned(n), gpu.empty(n)       n floats in pinned host memory, and in the GPU's memory
    stream = gpu.stream()
    stream.copy(target, source)       one of the two on the host, the other on the GPU
    stream.iterate(part, rounds)      the kernel, in place, on a tensor in the GPU's memory
    event = stream.record_event()     happens when the stream has done what it was given so far
    stream.wait_event(event)          what the stream is given from now on waits for it
    gpu.synchronize()                 the host waits until all is done

A stream's methods return at once; what they ask for happens later. In NumPy, both loops compute

    for _ in range(rounds):
        x = A * x + B
"""

# ----------------------------------------------------------------------------------------------------------------------
# 1. overlapped. x: (n,) float32 in pinned host memory. Returns y, like x. Cut x into parts of `chunk` elements (the last
#    may be smaller). Make a stream and a buffer of `chunk` elements for each of the `buffers`; chunk i goes through
#    stream i % buffers: copy in, kernel, copy out.


def overlapped(gpu, x, rounds, chunk, buffers=3):
    # >>> overlapped: your code here, about 12 lines
    pass
    # <<< overlapped


# ----------------------------------------------------------------------------------------------------------------------
# 2. pipelined. The same result, with three streams: one copies in, one computes, one copies out. Chunk i uses buffer
#    i % buffers. Three things have to be waited for, each with an event:
#
#      the kernel of chunk i     after the copy in of chunk i
#      the copy out of chunk i   after the kernel of chunk i
#      the copy in of chunk i    after the copy out of chunk i - buffers, which used the same buffer


def pipelined(gpu, x, rounds, chunk, buffers=3):
    # >>> pipelined: your code here, about 18 lines
    pass
    # <<< pipelined


# ----------------------------------------------------------------------------------------------------------------------
# 3. stopwatch. How many milliseconds does work() keep the GPU busy, warm, with its data not in the L2 cache? Returns the
#    median of `repeats` calls. The checker's GPU is simulated, so the right answer is known. Besides gpu.synchronize():
#
#      work()                       launches the kernel, and returns at once
#      gpu.flush_l2()               empties the L2 cache, and returns at once
#      gpu.clock()                  the host's clock, in milliseconds
#      event = gpu.event()
#      event.record()               the event happens when the GPU has done what it was asked for so far
#      first.elapsed_time(second)   milliseconds between two events that have happened


def stopwatch(gpu, work, repeats=21):
    # >>> stopwatch: your code here, about 11 lines
    pass
    # <<< stopwatch
