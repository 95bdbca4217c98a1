// FlashAttention-1 (arXiv 2205.14135, algorithm 1) in float32. q: (B, H, seqlen_q, HEAD_DIM), k and v: (B, H / group,
// seqlen_k, HEAD_DIM) of SCALAR, with the strides, in elements, of their batches, heads and rows. o: as q, contiguous,
// l and m: (B, H, seqlen_q), all float32; they come in as 0, 0 and -inf. Grid (H, B), 256 threads; dynamic shared
// memory for the tiles: BR rows of Q, l, m and P, and BC rows of K and V.
//
// New since naive attention: S and P exist one tile at a time, on chip. The loop over K_j and V_j is outside; O_i, l_i
// and m_i wait in global memory, and are read, rescaled and written for each tile.

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
    flash_v1(const scalar *q, const scalar *k, const scalar *v, float *o, float *l, float *m, int seqlen_q,
             int seqlen_k, int group, float scale, int causal, long long q_batch, long long q_head, long long q_row,
             long long k_batch, long long k_head, long long k_row, long long v_batch, long long v_head,
             long long v_row) {
  extern __shared__ Four shared[];
  float *Q = shared[0].at, *K = Q + BR * STRIDE, *V = K + BC * STRIDE, *P = V + BC * STRIDE_V;
  float *l_i = P + BR * STRIDE_P, *m_i = l_i + BR;
  const int head = blockIdx.x, batch = blockIdx.y;
  const long long first_row = (1LL * batch * gridDim.x + head) * seqlen_q;  // of this head in o, l and m
  q += batch * q_batch + head * q_head;
  k += batch * k_batch + head / group * k_head;
  v += batch * v_batch + head / group * v_head;
  const int row_0 = threadIdx.x / SHARERS * ROWS, x = threadIdx.x % SHARERS;
  const int diagonal = seqlen_k - seqlen_q;  // query i sees keys up to i + diagonal

  for (int key_0 = 0; key_0 < seqlen_k; key_0 += BC) {    // line 5
    load_tile(K, STRIDE, BC, k, k_row, key_0, seqlen_k);  // line 6: load K_j, V_j
    load_tile(V, STRIDE_V, BC, v, v_row, key_0, seqlen_k);

    for (int query_0 = 0; query_0 < seqlen_q; query_0 += BR) {  // line 7
      const bool mine = threadIdx.x < BR && query_0 + threadIdx.x < seqlen_q;
      load_tile(Q, STRIDE, BR, q, q_row, query_0, seqlen_q);  // line 8: load Q_i, l_i, m_i
      if (threadIdx.x < BR) l_i[threadIdx.x] = mine ? l[first_row + query_0 + threadIdx.x] : 0.0f;
      if (threadIdx.x < BR) m_i[threadIdx.x] = mine ? m[first_row + query_0 + threadIdx.x] : 0.0f;
      __syncthreads();  // the tiles are complete

      float S[ROWS][COLUMNS], m_tile[ROWS], l_tile[ROWS];
      multiply_q_k(S, Q, K, row_0, x);  // line 9
      for (int r = 0; r < ROWS; ++r) {
        const int limit = causal ? min(seqlen_k, query_0 + row_0 + r + diagonal + 1) : seqlen_k;
        m_tile[r] = -INFINITY;
        for (int c = 0; c < COLUMNS; ++c) {
          S[r][c] = key_0 + x + c * SHARERS < limit ? S[r][c] * scale : -INFINITY;
          m_tile[r] = fmaxf(m_tile[r], S[r][c]);
        }
        m_tile[r] = row_maximum(m_tile[r]);                            // line 10
        const float base = m_tile[r] == -INFINITY ? 0.0f : m_tile[r];  // no key is seen: exp(-inf - 0) is 0, not NaN
        l_tile[r] = 0.0f;
        for (int c = 0; c < COLUMNS; ++c) {
          const float p = expf(S[r][c] - base);
          l_tile[r] += p;
          P[(row_0 + r) * STRIDE_P + x + c * SHARERS] = p;
        }
        l_tile[r] = row_sum(l_tile[r]);
      }
      __syncwarp();  // a row of P comes from the 16 threads that share it, all of one warp

      Two PV[ROWS][PAIRS] = {};
      const bool whole = key_0 + BC <= seqlen_k && (!causal || key_0 + BC - 1 <= query_0 + diagonal);
      const int seen = causal ? query_0 + row_0 + diagonal + 1 - key_0 : BC;  // keys of the tile, by row row_0
      whole ? add_p_v<false>(PV, P, V, row_0, x) : add_p_v<true>(PV, P, V, row_0, x, seen);
#pragma unroll
      for (int r = 0; r < ROWS; ++r) {
        const float l_old = l_i[row_0 + r], m_old = m_i[row_0 + r];
        const float m_new = fmaxf(m_old, m_tile[r]);  // line 11
        const float base = m_new == -INFINITY ? 0.0f : m_new;
        const float keep = expf(m_old - base) * l_old, add = expf(m_tile[r] - base);
        const float l_new = keep + add * l_tile[r];
        const float inverse = l_new == 0.0f ? 0.0f : 1.0f / l_new;
        for (int i = 0; i < PAIRS; ++i) {  // line 12: O_i is read, rescaled and written
          const int query = query_0 + row_0 + r, d = 2 * (x + i * SHARERS);
          if (query >= seqlen_q || d >= HEAD_DIM) continue;
          Two *O = reinterpret_cast<Two *>(&o[(first_row + query) * HEAD_DIM + d]);
          Two o_new = *O;
          for (int e = 0; e < 2; ++e) o_new.at[e] = (keep * o_new.at[e] + add * PV[r][i].at[e]) * inverse;
          *O = o_new;
        }
        __syncwarp();  // all threads of the row have read l_i and m_i
        if (x == 0) l_i[row_0 + r] = l_new, m_i[row_0 + r] = m_new;
      }
      __syncthreads();  // nobody needs the tiles any more, and l_i and m_i are complete
      if (mine) l[first_row + query_0 + threadIdx.x] = l_i[threadIdx.x];  // line 13
      if (mine) m[first_row + query_0 + threadIdx.x] = m_i[threadIdx.x];
    }
  }
}
