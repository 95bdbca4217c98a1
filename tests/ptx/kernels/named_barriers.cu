// out[i] = x[i] squared plus its right neighbour in its tile (the last of a tile has none). x, out: n int. Half of the
// block fetches tiles of x into two buffers in turn; the other half computes. They meet at named barriers: whoever has
// to wait waits (bar.sync), whoever only reports goes on (bar.arrive).

constexpr int WORKERS = 64;           // in each half
constexpr int BOTH = 2 * WORKERS;
constexpr int FULL = 1, EMPTY = 3;    // the numbers of the first buffer's barriers; the second's are one higher

__device__ void wait_at(int barrier) { asm volatile("bar.sync %0, %1;" :: "r"(barrier), "n"(BOTH) : "memory"); }
__device__ void arrive_at(int barrier) { asm volatile("bar.arrive %0, %1;" :: "r"(barrier), "n"(BOTH) : "memory"); }

extern "C" __global__ void named_barriers(const int *x, int *out, int n) {
  __shared__ int buffers[2][WORKERS];
  const int tiles = (n + WORKERS - 1) / WORKERS;
  const int worker = threadIdx.x % WORKERS;
  if (threadIdx.x < WORKERS) {
    for (int tile = 0; tile < tiles; ++tile) {
      const int buffer = tile % 2, i = tile * WORKERS + worker;
      if (tile >= 2) wait_at(EMPTY + buffer);
      buffers[buffer][worker] = i < n ? x[i] : 0;
      arrive_at(FULL + buffer);
    }
  } else {
    for (int tile = 0; tile < tiles; ++tile) {
      const int buffer = tile % 2, i = tile * WORKERS + worker;
      wait_at(FULL + buffer);
      const int mine = buffers[buffer][worker];
      const int right = worker + 1 < WORKERS ? buffers[buffer][worker + 1] : 0;
      if (tile + 2 < tiles) arrive_at(EMPTY + buffer);
      if (i < n) out[i] = mine * mine + right;
    }
  }
}
