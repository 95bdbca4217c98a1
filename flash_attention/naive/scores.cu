// Kernel 1 of naive attention: S = Q K^T * scale, with -inf where the causal mask hides a key. q: (H, seqlen_q, head_dim)
// and k: (H / group, seqlen_k, head_dim) of SCALAR (float, __half or __nv_bfloat16), s: (H, seqlen_q, seqlen_k) float; H
// counts the heads of all batches. Grid (tiles of keys, tiles of queries, H), TILE x TILE threads, one element each.
//
// The matrix product of lesson 3, shared_tile.cu, with K read along its rows.

#include <cuda_bf16.h>
#include <cuda_fp16.h>
using scalar = SCALAR;

extern "C" __global__ void scores(const scalar *q, const scalar *k, float *s, int seqlen_q, int seqlen_k, int head_dim,
                                  int group, float scale, int causal) {
  __shared__ float Q[TILE][TILE];
  __shared__ float K[TILE][TILE + 1];  // one more: threads of a warp read a column of it
  q += 1LL * blockIdx.z * seqlen_q * head_dim;
  k += 1LL * (blockIdx.z / group) * seqlen_k * head_dim;
  s += 1LL * blockIdx.z * seqlen_q * seqlen_k;
  const int x = threadIdx.x, y = threadIdx.y;
  const int i = blockIdx.y * TILE + y, j = blockIdx.x * TILE + x;
  const int key = blockIdx.x * TILE + y;  // the row of K that this thread loads from

  float sum = 0.0f;
  for (int d = x; d - x < head_dim; d += TILE) {
    Q[y][x] = i < seqlen_q && d < head_dim ? float(q[1LL * i * head_dim + d]) : 0.0f;
    K[y][x] = key < seqlen_k && d < head_dim ? float(k[1LL * key * head_dim + d]) : 0.0f;
    __syncthreads();  // the tiles are complete
    for (int e = 0; e < TILE; ++e) sum += Q[y][e] * K[x][e];
    __syncthreads();  // nobody needs them any more
  }
  const bool seen = !causal || j <= i + seqlen_k - seqlen_q;
  if (i < seqlen_q && j < seqlen_k) s[1LL * i * seqlen_k + j] = seen ? sum * scale : -INFINITY;
}
