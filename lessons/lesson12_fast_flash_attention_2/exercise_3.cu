// Lesson 12, the third of three exercises: fill in the blank near the end, then run  make check-lesson12
//
// FlashAttention-2 on tensor cores, step 3 (flash_attention/tensor_cores/prefetch.cu), without its loop.

#include "cuda_basics/tensor_cores/primitives.cuh"
using scalar = SCALAR;  // __half or __nv_bfloat16

constexpr int THREADS = 32 * WARPS;
constexpr int ROWS = 16 * ROW_TILES;  // of Q, S and O, a warp's
constexpr int BR = WARPS * ROWS;      // and a block's
constexpr int C_TILES = BC / 16, D_TILES = HEAD_DIM / 16;
constexpr int CHUNKS = 2 * D_TILES;          // of 16 bytes in a row of Q, K or V
constexpr int WIDTH = (CHUNKS + 7) / 8 * 8;  // and the room for them in shared memory
constexpr int ROW = 16 * WIDTH, TILE = BC * ROW;  // bytes of a row; of K_j, and of V_j
constexpr int P_ROW = 2 * BC;                // bytes of a row of P
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

__device__ __forceinline__ void store_pair(uint32_t to, uint32_t pair) {
  asm volatile("st.shared.b32 [%0], %1;" :: "r"(to), "r"(pair) : "memory");
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
flash_attention(const scalar *q, const scalar *k, const scalar *v, scalar *o, float *lse, int q_batch, int q_head,
                int q_row, int k_batch, int k_head, int k_row, int v_batch, int v_head, int v_row, int seqlen_q,
                int seqlen_k, int shift, int heads, int group, float scale) {
  extern __shared__ __align__(128) char shared[];
  const uint32_t Q_smem = shared_address(shared), K_smem = Q_smem + BR * ROW;
  const uint32_t V_smem = K_smem + 2 * TILE, P_smem = V_smem + 2 * TILE;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;

  const int head = blockIdx.y, first_row = blockIdx.x * BR, row_0 = first_row + warp * ROWS;  // the block's, the warp's
  const int tiles = (seqlen_k + BC - 1) / BC;  // of keys

  const scalar *k_first = first_chunk(k, {k_batch, k_head, k_row}, head / heads, head % heads / group, 0);
  const scalar *v_first = first_chunk(v, {v_batch, v_head, v_row}, head / heads, head % heads / group, 0);
  load_tile<BR>(Q_smem, first_chunk(q, {q_batch, q_head, q_row}, head / heads, head % heads, first_row), q_row,
                seqlen_q - first_row);

  float O[ROW_TILES][2 * D_TILES][4] = {}, m[ROW_TILES][2], l[ROW_TILES][2] = {};
  for (int i = 0; i < ROW_TILES; ++i) m[i][0] = m[i][1] = LOWEST;

  // The rows and, swizzled, the chunks that this lane hands to ldmatrix; chunk 2d + c lies at (c ^ row % 8) ^ 2d.
  const uint32_t Q_row = Q_smem + (warp * ROWS + lane % 16) * ROW, Q_chunk = 16 * (lane / 16 ^ lane % 8);
  const uint32_t K_row = K_smem + (lane % 8 + lane / 16 * 8) * ROW, K_chunk = 16 * (lane / 8 % 2 ^ lane % 8);
  const uint32_t P_row = P_smem + (warp * ROWS + lane % 16) * P_ROW, P_chunk = Q_chunk;
  const uint32_t V_row = V_smem + lane % 16 * ROW, V_chunk = Q_chunk;

  auto fetch = [&](int j, int stage) {
    load_tile<BC>(K_smem + stage * TILE, k_first + j * BC * k_row, k_row, seqlen_k - j * BC);
    load_tile<BC>(V_smem + stage * TILE, v_first + j * BC * v_row, v_row, seqlen_k - j * BC);
  };
  auto attend = [&](int j, int stage) {
    float S[ROW_TILES][2 * C_TILES][4] = {};  // and P, later
#pragma unroll
    for (int d = 0; d < D_TILES; ++d) {
      uint32_t Q[ROW_TILES][4];
#pragma unroll
      for (int i = 0; i < ROW_TILES; ++i) ldmatrix_x4(Q[i], Q_row + i * 16 * ROW + (Q_chunk ^ 32 * d));
#pragma unroll
      for (int c = 0; c < C_TILES; ++c) {
        uint32_t K[4];
        ldmatrix_x4(K, K_row + stage * TILE + c * 16 * ROW + (K_chunk ^ 32 * d));
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
        const float m_new = fmaxf(m[i][half], highest * scale), shrink = expf(m[i][half] - m_new);
        m[i][half] = m_new;
        l[i][half] *= shrink;
#pragma unroll
        for (int d = 0; d < 2 * D_TILES; ++d) O[i][d][2 * half] *= shrink, O[i][d][2 * half + 1] *= shrink;
#pragma unroll
        for (int c = 0; c < 2 * C_TILES; ++c)
#pragma unroll
          for (int e = 2 * half; e < 2 * half + 2; ++e) {  // S becomes P
            S[i][c][e] = expf(S[i][c][e] * scale - m_new);
            l[i][half] += S[i][c][e];
          }
      }
#pragma unroll
    for (int i = 0; i < ROW_TILES; ++i)
#pragma unroll
      for (int c = 0; c < 2 * C_TILES; ++c)
#pragma unroll
        for (int half = 0; half < 2; ++half)
          store_pair(P_smem + 16 * swizzled<2 * C_TILES>(warp * ROWS + i * 16 + g + half * 8, c) + 4 * t,
                     pack<scalar>(S[i][c][2 * half], S[i][c][2 * half + 1]));
    __syncwarp();  // a warp reads only the rows of P that it has written
#pragma unroll
    for (int c = 0; c < C_TILES; ++c) {
      uint32_t P[ROW_TILES][4];
#pragma unroll
      for (int i = 0; i < ROW_TILES; ++i) ldmatrix_x4(P[i], P_row + i * 16 * P_ROW + (P_chunk ^ 32 * c));
#pragma unroll
      for (int d = 0; d < D_TILES; ++d) {
        uint32_t V[4];
        ldmatrix_x4_transposed(V, V_row + stage * TILE + c * 16 * ROW + (V_chunk ^ 32 * d));
#pragma unroll
        for (int i = 0; i < ROW_TILES; ++i) {
          mma<scalar>(O[i][2 * d], P[i], V[0], V[1]);
          mma<scalar>(O[i][2 * d + 1], P[i], V[2], V[3]);
        }
      }
    }
  };

  // -------------------------------------------------------------------------------------------------------------------
  // overlap. What you have: fetch(j, stage) starts copies of K_j and V_j to one of two stages in shared memory, 0 or 1,
  // and doesn't wait. attend(j, stage) works on the tile in a stage: S, P, O, m and l. Q's copies are under way, too.
  //
  //      for j in reversed(range(tiles)):
  //          attend(K[j], V[j])
  //
  // Right, and slow: fetch one, wait for it, attend, and so on. What is wanted: while a tile is worked on, the next one
  // is on its way to the other stage.
  //
  //   - end_copy_group() ends a group of copies; wait_copy_groups<n>() waits until at most the newest n are open.
  //   - A thread waits for its own copies only. For those of others it takes a __syncthreads() more.
  //   - A stage may be filled again when all threads have read it.
  //   - tiles may be 0. The last tile of keys may be ragged; the first worked on may be any.
  //
  // >>> overlap: your code here, about 10 lines

  // <<< overlap

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
      if (t == 0) lse[at] = sum == 0 ? -INFINITY : m[i][half] + logf(sum);
    }
}
