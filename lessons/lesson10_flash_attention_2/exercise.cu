// Lesson 10: fill in the blank, then run  make check-lesson10
//
// FlashAttention-2, as notebook and flash_attention/flash_v2/numpy_version.py have it. The blank is lines 8 to 10 of the
// algorithm, for one tile of K and V. In NumPy (for rows that see a key; what about the others?):
//
//      S = Q @ K.T                                        # multiply_q_k(S, Q, K, row_0, x)
//      S = np.where(seen, S * scale, -np.inf)             # column c of S is key key_0 + x + c * SHARERS
//      m_new = np.maximum(m, S.max(axis=1))               # row_maximum(...) asks the other threads of the row
//      P = np.exp(S - m_new[:, None])                     # to P[(row_0 + r) * STRIDE_P + column of the tile]
//      rescale = np.exp(m - m_new)
//      l = l * rescale + P.sum(axis=1)                    # each thread sums its own columns; row_sum comes at the end
//      O = O * rescale[:, None] + P @ V                   # add_p_v<MASKED>(O, P, V, row_0, x), when P is complete
//
// A thread has rows row_0 + r of S, P and O. A row of P is written by 16 threads of one warp: __syncwarp() waits for them.

#include <cuda_bf16.h>
#include <cuda_fp16.h>
using scalar = SCALAR;  // float, __half or __nv_bfloat16

constexpr int THREADS = 256, SHARERS = 16;               // 16 threads share a row
constexpr int ROWS = BR * SHARERS / THREADS;             // rows of S, P and O that a thread works on
constexpr int COLUMNS = BC / SHARERS;                    // columns of S: thread x has x, x + 16, ...
constexpr int PAIRS = (HEAD_DIM / 2 - 1) / SHARERS + 1;  // pairs of columns of O: thread x has x, x + 16, ...
constexpr int STRIDE = HEAD_DIM + 4;                     // of Q and K: 16 bytes of 8 rows lie in 32 different banks
constexpr int STRIDE_V = 2 * PAIRS * SHARERS;
constexpr int STRIDE_P = BC + 4;

template <typename T, int N>
struct alignas(N * sizeof(T)) Pack {  // moved by one instruction
  T at[N];
};
using Four = Pack<float, 4>;
using Two = Pack<float, 2>;

// Rows first to first + rows - 1 of a tensor, as far as there are any, to a tile in shared memory; zeros elsewhere.
__device__ void load_tile(float *tile, int stride, int rows, const scalar *from, long long step, int first, int end) {
  for (int row = threadIdx.x / 32; row < rows; row += THREADS / 32) {
    for (int d = threadIdx.x % 32; d < stride; d += 32) {
      const bool inside = first + row < end && d < HEAD_DIM;
      tile[row * stride + d] = inside ? float(from[(first + row) * step + d]) : 0.0f;
    }
  }
}

// S = Q K^T, this thread's part.
__device__ __forceinline__ void multiply_q_k(float (&S)[ROWS][COLUMNS], float *Q, float *K, int row_0, int x) {
  for (int r = 0; r < ROWS; ++r)
    for (int c = 0; c < COLUMNS; ++c) S[r][c] = 0.0f;
#pragma unroll 2
  for (int d = 0; d < HEAD_DIM; d += 4) {
    Four q[ROWS], k[COLUMNS];
    for (int r = 0; r < ROWS; ++r) q[r] = *reinterpret_cast<Four *>(&Q[(row_0 + r) * STRIDE + d]);
    for (int c = 0; c < COLUMNS; ++c) k[c] = *reinterpret_cast<Four *>(&K[(x + c * SHARERS) * STRIDE + d]);
    for (int e = 0; e < 4; ++e)
      for (int r = 0; r < ROWS; ++r)
        for (int c = 0; c < COLUMNS; ++c) S[r][c] += q[r].at[e] * k[c].at[e];
  }
}

// O += P V, this thread's part. MASKED: row row_0 + r sees the first seen + r keys of the tile. Behind them p is 0, but V
// may be NaN, and 0 * NaN is NaN.
template <bool MASKED>
__device__ __forceinline__ void add_p_v(Two (&O)[ROWS][PAIRS], float *P, float *V, int row_0, int x, int seen = BC) {
#pragma unroll 2
  for (int j = 0; j < BC; j += 4) {
    Four p[ROWS];
    for (int r = 0; r < ROWS; ++r) p[r] = *reinterpret_cast<Four *>(&P[(row_0 + r) * STRIDE_P + j]);
#pragma unroll
    for (int e = 0; e < 4; ++e)
#pragma unroll
      for (int i = 0; i < PAIRS; ++i) {
        const Two v = *reinterpret_cast<Two *>(&V[(j + e) * STRIDE_V + 2 * (x + i * SHARERS)]);
        for (int r = 0; r < ROWS; ++r)
          for (int n = 0; n < 2; ++n)
            if (!MASKED || j + e < seen + r || p[r].at[e] != 0.0f) O[r][i].at[n] += p[r].at[e] * v.at[n];
      }
  }
}

__device__ float row_maximum(float x) {
  for (int distance = 1; distance < SHARERS; distance *= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffff, x, distance));
  return x;
}

__device__ float row_sum(float x) {
  for (int distance = 1; distance < SHARERS; distance *= 2) x += __shfl_xor_sync(0xffffffff, x, distance);
  return x;
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
    flash_v2(const scalar *q, const scalar *k, const scalar *v, scalar *o, float *lse, int seqlen_q,
             int seqlen_k, int group, float scale, int causal, long long q_batch, long long q_head, long long q_row,
             long long k_batch, long long k_head, long long k_row, long long v_batch, long long v_head,
             long long v_row) {
  extern __shared__ Four shared[];
  float *Q = shared[0].at, *K = Q + BR * STRIDE, *V = K + BC * STRIDE, *P = V + BC * STRIDE_V;
  const int head = blockIdx.y, batch = blockIdx.z;
  const long long first_row = (1LL * batch * gridDim.y + head) * seqlen_q;  // of this head in o and lse
  q += batch * q_batch + head * q_head;
  k += batch * k_batch + head / group * k_head;
  v += batch * v_batch + head / group * v_head;
  const int row_0 = threadIdx.x / SHARERS * ROWS, x = threadIdx.x % SHARERS;
  const int diagonal = seqlen_k - seqlen_q;  // query i sees keys up to i + diagonal

  const int query_0 = (gridDim.x - 1 - blockIdx.x) * BR;  // line 3; causal: the longest rows begin first
  load_tile(Q, STRIDE, BR, q, q_row, query_0, seqlen_q);  // line 4: load Q_i
  float l[ROWS] = {}, m[ROWS];
  Two O[ROWS][PAIRS] = {};  // line 5: O_i = 0, l_i = 0, m_i = -inf
  for (int r = 0; r < ROWS; ++r) m[r] = -INFINITY;

  const int keys = causal ? min(seqlen_k, query_0 + BR + diagonal) : seqlen_k;
  for (int key_0 = 0; key_0 < keys; key_0 += BC) {        // line 6
    load_tile(K, STRIDE, BC, k, k_row, key_0, seqlen_k);  // line 7: load K_j, V_j
    load_tile(V, STRIDE_V, BC, v, v_row, key_0, seqlen_k);
    __syncthreads();  // the tiles are complete

    // >>> flash_v2: your code here, about 24 lines

    // <<< flash_v2
    __syncthreads();  // nobody needs the tiles any more
  }

#pragma unroll
  for (int r = 0; r < ROWS; ++r) {
    const int query = query_0 + row_0 + r;
    const float sum = row_sum(l[r]), inverse = sum == 0.0f ? 0.0f : 1.0f / sum;
    for (int i = 0; i < PAIRS; ++i) {  // lines 12 and 14: O_i is divided by l_i, and written
      const int d = 2 * (x + i * SHARERS);
      if (query >= seqlen_q || d >= HEAD_DIM) continue;
      Pack<scalar, 2> out;
      for (int e = 0; e < 2; ++e) out.at[e] = scalar(O[r][i].at[e] * inverse);
      *reinterpret_cast<Pack<scalar, 2> *>(&o[(first_row + query) * HEAD_DIM + d]) = out;
    }
    if (x == 0 && query < seqlen_q) lse[first_row + query] = m[r] + logf(sum);  // lines 13 and 15
  }
}
