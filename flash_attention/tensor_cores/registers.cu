// FlashAttention-2 (arXiv 2307.08691, algorithm 1) on tensor cores, step 4 of 6: registers.
//
// softmax(Q K^T scale) V and its log-sum-exp. q: (B, H, seqlen_q, HEAD_DIM), k and v: (B, H / group, seqlen_k,
// HEAD_DIM) of SCALAR, with the strides, in elements, of their batches, heads and rows; a row is contiguous and starts
// at a multiple of 16 bytes. o: as q, contiguous; lse: (B, H, seqlen_q) in float32. Query i sees key j if j <= i +
// shift; scale_log2 is the scale times log2(e). One block for BR queries of a head; names as in the paper, with where
// it lives behind.
//
// New since prefetch.cu: P never leaves the registers. The accumulators of S, rounded to 16 bits in pairs, are already
// the fragments that the product with V needs (primitives.cuh draws both), so that P's way through shared memory goes,
// and with it 16 KB a block. And exponentials are powers of two, which the hardware has: log2(e) is folded into the
// scale.
//
// Predicted for an H100 (bfloat16, HEAD_DIM 128, causal, 4,096 keys): 77 to 211 TFLOP/s, a sixth more than the step
// before. Measured: 126, nothing more. So what it does less of wasn't what it waited for: Nsight Compute counts a quarter
// fewer instructions, but 6.0 cycles from one of a warp's to its next, not 4.4, and the tensor cores as busy as before.

#include "cuda_basics/tensor_cores/primitives.cuh"
using scalar = SCALAR;  // __half or __nv_bfloat16

constexpr int THREADS = 32 * WARPS;
constexpr int ROWS = 16 * ROW_TILES;  // of Q, S and O, a warp's
constexpr int BR = WARPS * ROWS;      // and a block's
constexpr int C_TILES = BC / 16, D_TILES = HEAD_DIM / 16;
constexpr int CHUNKS = 2 * D_TILES;          // of 16 bytes in a row of Q, K or V
constexpr int WIDTH = (CHUNKS + 7) / 8 * 8;  // and the room for them in shared memory
constexpr int ROW = 16 * WIDTH, TILE = BC * ROW;  // bytes of a row; of K_j, and of V_j
constexpr float LOWEST = -3.0e38f;           // below every score, and finite: it may be subtracted from itself

struct Strides {
  int batch, head, row;
};

// Starts copying `rows` rows to a tile; those from `there` on become zeros. from: this thread's first chunk.
template <int rows>
__device__ __forceinline__ void load_tile(uint32_t tile, const scalar *from, int stride, int there) {
  constexpr int AT_ONCE = THREADS / CHUNKS;
  const unsigned first = threadIdx.x / CHUNKS, chunk = threadIdx.x % CHUNKS;
#pragma unroll
  for (int i = 0; i < rows / AT_ONCE; ++i) {
    const unsigned row = first + i * AT_ONCE;
    copy_async_16(tile + 16 * swizzled<WIDTH>(row, chunk), from + i * AT_ONCE * stride, int(row) < there);
  }
}

// The chunk that this thread copies first of the rows from `row` on.
__device__ __forceinline__ const scalar *first_chunk(const scalar *x, Strides stride, int batch, int head, int row) {
  return x + batch * stride.batch + head * stride.head +
         (row + int(threadIdx.x / CHUNKS)) * stride.row + threadIdx.x % CHUNKS * 8;
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
flash_attention(const scalar *q, const scalar *k, const scalar *v, scalar *o, float *lse, int q_batch, int q_head,
                int q_row, int k_batch, int k_head, int k_row, int v_batch, int v_head, int v_row, int seqlen_q,
                int seqlen_k, int shift, int heads, int group, float scale_log2) {
  extern __shared__ __align__(128) char shared[];
  const uint32_t Q_smem = shared_address(shared), K_smem = Q_smem + BR * ROW, V_smem = K_smem + 2 * TILE;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;

  const int head = blockIdx.y, first_row = blockIdx.x * BR, row_0 = first_row + warp * ROWS;  // the block's, the warp's
  int j = (seqlen_k + BC - 1) / BC - 1;

  const scalar *k_next = first_chunk(k, {k_batch, k_head, k_row}, head / heads, head % heads / group, j * BC);
  const scalar *v_next = first_chunk(v, {v_batch, v_head, v_row}, head / heads, head % heads / group, j * BC);
  load_tile<BR>(Q_smem, first_chunk(q, {q_batch, q_head, q_row}, head / heads, head % heads, first_row), q_row,
                seqlen_q - first_row);
  if (j >= 0) {
    load_tile<BC>(K_smem, k_next, k_row, seqlen_k - j * BC);
    load_tile<BC>(V_smem, v_next, v_row, seqlen_k - j * BC);
  }
  end_copy_group();

  float O[ROW_TILES][2 * D_TILES][4] = {}, m[ROW_TILES][2], l[ROW_TILES][2] = {};
  for (int i = 0; i < ROW_TILES; ++i) m[i][0] = m[i][1] = LOWEST;

  // The rows and, swizzled, the chunks that this lane hands to ldmatrix; chunk 2d + c lies at (c ^ row % 8) ^ 2d.
  const uint32_t Q_row = Q_smem + (warp * ROWS + lane % 16) * ROW, Q_chunk = 16 * (lane / 16 ^ lane % 8);
  const uint32_t K_row = K_smem + (lane % 8 + lane / 16 * 8) * ROW, K_chunk = 16 * (lane / 8 % 2 ^ lane % 8);
  const uint32_t V_row = V_smem + lane % 16 * ROW, V_chunk = Q_chunk;

  for (uint32_t stage = 0; j >= 0; --j, stage ^= TILE) {
    wait_copy_groups<0>();
    __syncthreads();  // K_j and V_j have arrived, and nobody reads the other stage any more
    if (j > 0) {
      k_next -= BC * k_row;
      v_next -= BC * v_row;
      load_tile<BC>(K_smem + (stage ^ TILE), k_next, k_row, BC);
      load_tile<BC>(V_smem + (stage ^ TILE), v_next, v_row, BC);
    }
    end_copy_group();

    float S[ROW_TILES][2 * C_TILES][4] = {};  // and P, later
#pragma unroll
    for (int d = 0; d < D_TILES; ++d) {
      uint32_t Q[ROW_TILES][4];
#pragma unroll
      for (int i = 0; i < ROW_TILES; ++i) ldmatrix_x4(Q[i], Q_row + i * 16 * ROW + (Q_chunk ^ 32 * d));
#pragma unroll
      for (int c = 0; c < C_TILES; ++c) {
        uint32_t K[4];
        ldmatrix_x4(K, K_row + stage + c * 16 * ROW + (K_chunk ^ 32 * d));
#pragma unroll
        for (int i = 0; i < ROW_TILES; ++i) {
          mma<scalar>(S[i][2 * c], Q[i], K[0], K[1]);
          mma<scalar>(S[i][2 * c + 1], Q[i], K[2], K[3]);
        }
      }
    }
#pragma unroll
    for (int i = 0; i < ROW_TILES; ++i)
#pragma unroll
      for (int c = 0; c < 2 * C_TILES; ++c)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int key = j * BC + c * 8 + 2 * t + e % 2, row = row_0 + i * 16 + g + e / 2 * 8;
          if (key >= seqlen_k || key > row + shift) S[i][c][e] = -INFINITY;
        }

#pragma unroll
    for (int i = 0; i < ROW_TILES; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half) {  // rows g and g + 8
        float highest = S[i][0][2 * half];
#pragma unroll
        for (int c = 0; c < 2 * C_TILES; ++c) highest = fmaxf(highest, fmaxf(S[i][c][2 * half], S[i][c][2 * half + 1]));
        highest = fmaxf(highest, __shfl_xor_sync(~0u, highest, 1));
        highest = fmaxf(highest, __shfl_xor_sync(~0u, highest, 2));
        const float m_new = fmaxf(m[i][half], highest * scale_log2), shrink = exp2_fast(m[i][half] - m_new);
        m[i][half] = m_new;
        l[i][half] *= shrink;
#pragma unroll
        for (int d = 0; d < 2 * D_TILES; ++d) O[i][d][2 * half] *= shrink, O[i][d][2 * half + 1] *= shrink;
#pragma unroll
        for (int c = 0; c < 2 * C_TILES; ++c)
#pragma unroll
          for (int e = 2 * half; e < 2 * half + 2; ++e) {  // S becomes P
            S[i][c][e] = exp2_fast(S[i][c][e] * scale_log2 - m_new);
            l[i][half] += S[i][c][e];
          }
      }
#pragma unroll
    for (int c = 0; c < C_TILES; ++c) {
      uint32_t P[ROW_TILES][4];
#pragma unroll
      for (int i = 0; i < ROW_TILES; ++i)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const float *pair = &S[i][2 * c + e / 2][e % 2 * 2];
          P[i][e] = pack<scalar>(pair[0], pair[1]);
        }
#pragma unroll
      for (int d = 0; d < D_TILES; ++d) {
        uint32_t V[4];
        ldmatrix_x4_transposed(V, V_row + stage + c * 16 * ROW + (V_chunk ^ 32 * d));
#pragma unroll
        for (int i = 0; i < ROW_TILES; ++i) {
          mma<scalar>(O[i][2 * d], P[i], V[0], V[1]);
          mma<scalar>(O[i][2 * d + 1], P[i], V[2], V[3]);
        }
      }
    }
  }

#pragma unroll
  for (int i = 0; i < ROW_TILES; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sum = l[i][half];
      sum += __shfl_xor_sync(~0u, sum, 1);
      sum += __shfl_xor_sync(~0u, sum, 2);
      const int row = row_0 + i * 16 + g + half * 8;
      if (row >= seqlen_q) continue;
      const long long at = (long long)head * seqlen_q + row;
      const float over_l = sum == 0 ? 0.0f : 1.0f / sum;  // 0: a row that sees no key
#pragma unroll
      for (int d = 0; d < 2 * D_TILES; ++d)
        *reinterpret_cast<uint32_t *>(o + at * HEAD_DIM + d * 8 + 2 * t) =
              pack<scalar>(O[i][d][2 * half] * over_l, O[i][d][2 * half + 1] * over_l);
      if (t == 0) lse[at] = sum == 0 ? -INFINITY : (m[i][half] + log2f(sum)) * 0.693147181f;  // from base 2 to base e
    }
}
