// Lesson 7: fill in the blank, then run  make check-lesson7

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

// ---------------------------------------------------------------------------------------------------------------------
// Two functions are missing. In NumPy, with statistics and merge as in exercise_numpy.py:
//
//      of_thread = [statistics(x[t::THREADS]) for t in range(THREADS)]
//      row = reduce(merge, of_thread)
//
//    __device__ Statistics merge(Statistics a, Statistics b)
//        The statistics of two parts of a row together. Subtract finite(m) wherever you would subtract m.
//
//    __device__ Statistics of_row(const scalar *x, int columns)
//        The statistics of the row x, for every thread of the block. Begin with {-INFINITY, 0.0f}, the statistics of
//        nothing; one element v has {v, 1.0f}. of_block, above, combines what the THREADS threads have.

// >>> online: your code here, about 10 lines

// <<< online

extern "C" __global__ void softmax(const scalar *x, scalar *y, float *lse, int columns) {
  x += 1LL * blockIdx.x * columns;
  y += 1LL * blockIdx.x * columns;

  const Statistics row = of_row(x, columns);  // pass 1
  for (int j = threadIdx.x; j < columns; j += THREADS) {  // pass 2
    y[j] = scalar(expf(float(x[j]) - finite(row.m)) / nonzero(row.l));
  }
  if (threadIdx.x == 0) lse[blockIdx.x] = row.m + logf(row.l);
}
