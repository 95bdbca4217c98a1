// y = softmax of each row of x, lse = its log-sum-exp. x, y: (rows, columns) of SCALAR (float, __half or __nv_bfloat16),
// lse: (rows,). A block a row; thread t has columns t, t + THREADS, ...
//
// The safe way: the maximum first, so that exp never overflows. The row is read three times and written once:
// 4 * rows * columns elements move, unless the caches still hold the row.

#include <cuda_bf16.h>
#include <cuda_fp16.h>
using scalar = SCALAR;
constexpr int WARP = 32;
constexpr int WARPS = THREADS / WARP;

__device__ float from_lane(float value, int distance) { return __shfl_xor_sync(~0u, value, distance); }

// What all threads of the block have, combined; every thread gets it.
template <typename Value, typename Combine>
__device__ Value of_block(Value mine, Combine combine) {
  __shared__ Value of_warp[WARPS];
  for (int distance = WARP / 2; distance > 0; distance /= 2) mine = combine(mine, from_lane(mine, distance));
  if (threadIdx.x % WARP == 0) of_warp[threadIdx.x / WARP] = mine;
  __syncthreads();
  mine = of_warp[0];
  for (int w = 1; w < WARPS; ++w) mine = combine(mine, of_warp[w]);
  return mine;
}

__device__ float finite(float m) { return m == -INFINITY ? 0.0f : m; }  // -inf - -inf would be NaN
__device__ float nonzero(float l) { return l == 0.0f ? 1.0f : l; }       // and so would 0 / 0

extern "C" __global__ void softmax(const scalar *x, scalar *y, float *lse, int columns) {
  x += 1LL * blockIdx.x * columns;
  y += 1LL * blockIdx.x * columns;

  float m = -INFINITY, l = 0.0f;
  for (int j = threadIdx.x; j < columns; j += THREADS) m = fmaxf(m, float(x[j]));  // pass 1
  m = of_block(m, [](float a, float b) { return fmaxf(a, b); });
  for (int j = threadIdx.x; j < columns; j += THREADS) l += expf(float(x[j]) - finite(m));  // pass 2
  l = of_block(l, [](float a, float b) { return a + b; });

  for (int j = threadIdx.x; j < columns; j += THREADS) {  // pass 3
    y[j] = scalar(expf(float(x[j]) - finite(m)) / nonzero(l));
  }
  if (threadIdx.x == 0) lse[blockIdx.x] = m + logf(l);
}
