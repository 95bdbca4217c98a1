// y = softmax of each row of x, lse = its log-sum-exp. x, y: (rows, columns) of SCALAR (float, __half or __nv_bfloat16),
// lse: (rows,). A block a row; thread t has columns t, t + THREADS, ...
//
// New since three_pass.cu: maximum and sum in one pass. Whenever the maximum m moves, the sum l of exp(x - m) is brought
// to the new one by exp(m_old - m_new). The row is read twice: 3 * rows * columns elements move.

#include <cuda_bf16.h>
#include <cuda_fp16.h>
using scalar = SCALAR;
constexpr int WARP = 32;
constexpr int WARPS = THREADS / WARP;

struct Statistics {  // of some elements of a row
  float m;           // their maximum
  float l;           // the sum of exp(x - m) over them
};

__device__ Statistics from_lane(Statistics of, int distance) {
  return {__shfl_xor_sync(~0u, of.m, distance), __shfl_xor_sync(~0u, of.l, distance)};
}

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

__device__ Statistics merge(Statistics a, Statistics b) {
  const float m = fmaxf(a.m, b.m);
  return {m, a.l * expf(a.m - finite(m)) + b.l * expf(b.m - finite(m))};
}

extern "C" __global__ void softmax(const scalar *x, scalar *y, float *lse, int columns) {
  x += 1LL * blockIdx.x * columns;
  y += 1LL * blockIdx.x * columns;

  Statistics row = {-INFINITY, 0.0f};
  for (int j = threadIdx.x; j < columns; j += THREADS) row = merge(row, {float(x[j]), 1.0f});  // pass 1
  row = of_block(row, merge);

  for (int j = threadIdx.x; j < columns; j += THREADS) {  // pass 2
    y[j] = scalar(expf(float(x[j]) - finite(row.m)) / nonzero(row.l));
  }
  if (threadIdx.x == 0) lse[blockIdx.x] = row.m + logf(row.l);
}
