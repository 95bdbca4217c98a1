// FlashAttention-2 (arXiv 2307.08691, algorithm 1) on tensor cores, step 6 of 6: tuned.
//
// softmax(Q K^T scale) V and its log-sum-exp. q: (B, H, seqlen_q, HEAD_DIM), k and v: (B, H / group, seqlen_k,
// HEAD_DIM) of SCALAR, with the strides, in elements, of their batches, heads and rows; a row is contiguous and starts
// at a multiple of 16 bytes. o: as q, contiguous; lse: (B, H, seqlen_q) in float32. Query i sees key j if j <= i +
// shift; scale_log2 is the scale times log2(e). One block for BR queries of a head; names as in the paper, with where
// it lives behind.
//
// New since causal.cu:
// - O and l are rescaled only when a row's maximum has grown by more than a factor of 2^8. Until then P exceeds 1, and
//   O / l stays the same. Among random scores a maximum soon stops growing, so nearly all rescaling goes.
// - The exponentials of the next 16 keys stand between these 16 keys' products with V, which don't wait for them.
// - Tiles and warps are chosen for each head_dim (cuda_version.py), any multiple of 8 up to 256. Up to 128 a warp has
//   32 rows, not 16: each fragment of K and V that comes from shared memory is used twice. Up to 64 Q stays in
//   registers.
//
// Predicted for an H100 (bfloat16, HEAD_DIM 128, causal, 4,096 keys): 205 to 598 TFLOP/s, with the tensor cores as the
// limit. Measured: 342, where PyTorch's FlashAttention-2 reaches 309. A warp either multiplies or computes
// exponentials, and only 8 warps fit on a multiprocessor with 255 registers a lane: few to do both at a time.

#include "cuda_basics/tensor_cores/primitives.cuh"
using scalar = SCALAR;  // __half or __nv_bfloat16

constexpr int THREADS = 32 * WARPS;
constexpr int ROWS = 16 * ROW_TILES;  // of Q, S and O, a warp's
constexpr int BR = WARPS * ROWS;      // and a block's
constexpr int C_TILES = BC / 16, D_TILES = (HEAD_DIM + 15) / 16;
constexpr int CHUNKS = 2 * D_TILES;          // of 16 bytes in a row of Q, K or V
constexpr int WIDTH = (CHUNKS + 7) / 8 * 8;  // and the room for them in shared memory
constexpr int ROW = 16 * WIDTH, TILE = BC * ROW;  // bytes of a row; of K_j, and of V_j
constexpr float SLACK = 8;                   // in powers of 2
constexpr float LOWEST = -3.0e38f;           // below every score, and finite: it may be subtracted from itself

struct Strides {
  int batch, head, row;
};

// Starts copying `rows` rows to a tile; those from `there` on, and columns from HEAD_DIM on, become zeros.
// from: the chunk that this thread copies first.
template <int rows>
__device__ __forceinline__ void load_tile(uint32_t tile, const scalar *from, int stride, int there) {
  constexpr int AT_ONCE = THREADS / CHUNKS;
  const unsigned first = threadIdx.x / CHUNKS, chunk = threadIdx.x % CHUNKS;
  if (THREADS % CHUNKS != 0 && first >= AT_ONCE) return;
#pragma unroll
  for (int i = 0; i < (rows + AT_ONCE - 1) / AT_ONCE; ++i) {
    const unsigned row = first + i * AT_ONCE;
    if (rows % AT_ONCE == 0 || row < rows)
      copy_async_16(tile + 16 * swizzled<WIDTH>(row, chunk), from + i * AT_ONCE * stride,
                    int(row) < there && chunk * 8 < HEAD_DIM);
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
                int seqlen_k, int shift, int heads, int group, float scale_log2, int together) {
  extern __shared__ __align__(128) char shared[];
  const uint32_t Q_smem = shared_address(shared), K_smem = Q_smem + BR * ROW, V_smem = K_smem + 2 * TILE;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;

  // Which tile of queries? `together` heads at a time, whose K and V fit into the L2 cache; in these the last tile,
  // which sees the most keys, first.
  const int tiles = (seqlen_q - 1) / BR + 1;
  const int done = blockIdx.x / (together * tiles) * together;  // heads before these
  const int place = blockIdx.x - done * tiles, side_by_side = min(together, int(gridDim.x) / tiles - done);
  const int head = done + place % side_by_side, first_row = (tiles - 1 - place / side_by_side) * BR;

  const int row_0 = first_row + warp * ROWS;                     // the warp's first
  const int all_see = min(seqlen_k, row_0 + 1 + shift);          // keys that every row of the warp sees
  const int last_sees = min(seqlen_k, first_row + BR + shift);   // keys that the block's last row sees
  int j = (last_sees + BC - 1) / BC - 1;

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
  uint32_t Q[Q_IN_REGISTERS ? D_TILES : 1][ROW_TILES][4];
  auto load_Q = [&](int d) {
#pragma unroll
    for (int i = 0; i < ROW_TILES; ++i)
      ldmatrix_x4(Q[Q_IN_REGISTERS ? d : 0][i], Q_row + i * 16 * ROW + (Q_chunk ^ 32 * d));
  };
  if (Q_IN_REGISTERS) {
    wait_copy_groups<0>();
    __syncthreads();
#pragma unroll
    for (int d = 0; d < D_TILES; ++d) load_Q(d);
  }

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
    if (j * BC >= all_see + ROWS - 1) continue;  // this warp sees none of them

    float S[ROW_TILES][2 * C_TILES][4] = {};  // and P, later
#pragma unroll
    for (int d = 0; d < D_TILES; ++d) {
      if (!Q_IN_REGISTERS) load_Q(d);
#pragma unroll
      for (int c = 0; c < C_TILES; ++c) {
        uint32_t K[4];
        ldmatrix_x4(K, K_row + stage + c * 16 * ROW + (K_chunk ^ 32 * d));
#pragma unroll
        for (int i = 0; i < ROW_TILES; ++i) {
          mma<scalar>(S[i][2 * c], Q[Q_IN_REGISTERS ? d : 0][i], K[0], K[1]);
          mma<scalar>(S[i][2 * c + 1], Q[Q_IN_REGISTERS ? d : 0][i], K[2], K[3]);
        }
      }
    }
    if ((j + 1) * BC > all_see) {
#pragma unroll
      for (int i = 0; i < ROW_TILES; ++i)
#pragma unroll
        for (int c = 0; c < 2 * C_TILES; ++c)
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            const int key = j * BC + c * 8 + 2 * t + e % 2, row = row_0 + i * 16 + g + e / 2 * 8;
            if (key >= seqlen_k || key > row + shift) S[i][c][e] = -INFINITY;
          }
    }

    float highest[ROW_TILES][2];
    bool grows = false;
#pragma unroll
    for (int i = 0; i < ROW_TILES; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half) {  // rows g and g + 8
        float x = -INFINITY;
#pragma unroll
        for (int c = 0; c < 2 * C_TILES; ++c) x = fmaxf(x, fmaxf(S[i][c][2 * half], S[i][c][2 * half + 1]));
        x = fmaxf(x, __shfl_xor_sync(~0u, x, 1));
        x = fmaxf(x, __shfl_xor_sync(~0u, x, 2));
        highest[i][half] = x * scale_log2;
        grows |= highest[i][half] > m[i][half] + SLACK;
      }
    if (__any_sync(~0u, grows)) {
#pragma unroll
      for (int i = 0; i < ROW_TILES; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const float m_new = fmaxf(m[i][half], highest[i][half]), shrink = exp2_fast(m[i][half] - m_new);
          m[i][half] = m_new;
          l[i][half] *= shrink;
#pragma unroll
          for (int d = 0; d < 2 * D_TILES; ++d) O[i][d][2 * half] *= shrink, O[i][d][2 * half + 1] *= shrink;
        }
    }

    auto exponentials = [&](int c) {  // S becomes P, for 8 keys
#pragma unroll
      for (int i = 0; i < ROW_TILES; ++i)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          S[i][c][e] = exp2_fast(S[i][c][e] * scale_log2 - m[i][e / 2]);
          l[i][e / 2] += S[i][c][e];
        }
    };
    exponentials(0);
    exponentials(1);
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
        if (c + 1 < C_TILES && d == 0) exponentials(2 * c + 2);
        if (c + 1 < C_TILES && d == D_TILES / 2) exponentials(2 * c + 3);
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
        if (d * 8 < HEAD_DIM)
          *reinterpret_cast<uint32_t *>(o + at * HEAD_DIM + d * 8 + 2 * t) =
              pack<scalar>(O[i][d][2 * half] * over_l, O[i][d][2 * half + 1] * over_l);
      if (t == 0) lse[at] = sum == 0 ? -INFINITY : (m[i][half] + log2f(sum)) * 0.693147181f;  // from base 2 to base e
    }
}
