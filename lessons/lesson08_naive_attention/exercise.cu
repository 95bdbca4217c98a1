// Lesson 8: fill in the blanks, then run  make check-lesson8
//
// Both kernels are matrix products, as in lesson 3: a block makes a tile of TILE x TILE elements of the result, a thread
// one of them. head counts the heads of all batches. SCALAR is float, __half or __nv_bfloat16.

#include <cuda_bf16.h>
#include <cuda_fp16.h>
using scalar = SCALAR;

// ---------------------------------------------------------------------------------------------------------------------
// 1. scores. q: (H, seqlen_q, head_dim), k: (H / group, seqlen_k, head_dim), s: (H, seqlen_q, seqlen_k). In NumPy:
//
//      s[head] = q[head] @ k[head // group].T * scale
//      s[head, i, j] = -np.inf  where causal and j > i + seqlen_k - seqlen_q
//
//    Grid (tiles of keys, tiles of queries, H), TILE x TILE threads. No length is sure to be a multiple of TILE.

extern "C" __global__ void scores(const scalar *q, const scalar *k, float *s, int seqlen_q, int seqlen_k, int head_dim,
                                  int group, float scale, int causal) {
  q += 1LL * blockIdx.z * seqlen_q * head_dim;
  k += 1LL * (blockIdx.z / group) * seqlen_k * head_dim;
  s += 1LL * blockIdx.z * seqlen_q * seqlen_k;
  const int x = threadIdx.x, y = threadIdx.y;
  const int i = blockIdx.y * TILE + y, j = blockIdx.x * TILE + x;

  // >>> scores: your code here, about 14 lines

  // <<< scores
}

// ---------------------------------------------------------------------------------------------------------------------
// 2. weighted_sum. p: (H, seqlen_q, seqlen_k), v: (H / group, seqlen_k, head_dim), o: (H, seqlen_q, head_dim). In NumPy:
//
//      o[head] = p[head] @ v[head // group]
//
//    Where causal hides a key, p is 0. It is here only to keep a NaN in v there from reaching o (0 * NaN is NaN); the
//    checker doesn't ask for that.
//    Grid (tiles of columns of v, tiles of queries, H), TILE x TILE threads.

extern "C" __global__ void weighted_sum(const float *p, const scalar *v, scalar *o, int seqlen_q, int seqlen_k,
                                        int head_dim, int group, int causal) {
  p += 1LL * blockIdx.z * seqlen_q * seqlen_k;
  v += 1LL * (blockIdx.z / group) * seqlen_k * head_dim;
  o += 1LL * blockIdx.z * seqlen_q * head_dim;
  const int x = threadIdx.x, y = threadIdx.y;
  const int i = blockIdx.y * TILE + y, d = blockIdx.x * TILE + x;

  // >>> weighted_sum: your code here, about 11 lines

  // <<< weighted_sum
}
