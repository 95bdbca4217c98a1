// Kernel 3 of naive attention: O = P V. p: (H, seqlen_q, seqlen_k) float, v: (H / group, seqlen_k, head_dim) and o:
// (H, seqlen_q, head_dim) of SCALAR (float, __half or __nv_bfloat16); H counts the heads of all batches. Grid (tiles of
// columns of V, tiles of queries, H), TILE x TILE threads, one element each.
//
// The matrix product of lesson 3, shared_tile.cu. Only keys that the causal mask hides take no part: their p is 0, but v
// may be NaN there, and 0 * NaN is NaN.

#include <cuda_bf16.h>
#include <cuda_fp16.h>
using scalar = SCALAR;

extern "C" __global__ void weighted_sum(const float *p, const scalar *v, scalar *o, int seqlen_q, int seqlen_k,
                                        int head_dim, int group, int causal) {
  __shared__ float P[TILE][TILE];
  __shared__ float V[TILE][TILE];
  p += 1LL * blockIdx.z * seqlen_q * seqlen_k;
  v += 1LL * (blockIdx.z / group) * seqlen_k * head_dim;
  o += 1LL * blockIdx.z * seqlen_q * head_dim;
  const int x = threadIdx.x, y = threadIdx.y;
  const int i = blockIdx.y * TILE + y, d = blockIdx.x * TILE + x;
  const int last = causal ? i + seqlen_k - seqlen_q : seqlen_k;  // key that query i sees

  float sum = 0.0f;
  for (int j = 0; j < seqlen_k; j += TILE) {
    P[y][x] = i < seqlen_q && j + x < seqlen_k ? p[1LL * i * seqlen_k + j + x] : 0.0f;
    V[y][x] = j + y < seqlen_k && d < head_dim ? float(v[1LL * (j + y) * head_dim + d]) : 0.0f;
    __syncthreads();  // the tiles are complete
    if (!causal || j + TILE - 1 <= last - y) {  // all queries of the tile see all keys of the tile
      for (int e = 0; e < TILE; ++e) sum += P[y][e] * V[e][x];
    } else {
      for (int e = 0; e < TILE; ++e) sum += P[y][e] * (j + e <= last || P[y][e] != 0.0f ? V[e][x] : 0.0f);
    }
    __syncthreads();  // nobody needs them any more
  }
  if (i < seqlen_q && d < head_dim) o[1LL * i * head_dim + d] = scalar(sum);
}
