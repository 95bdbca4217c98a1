// FlashAttention-1 in fp32. q, k, v, o: (heads, n, HEAD_DIM); l, m: (heads, n), where o and l start at 0 and m at minus
// infinity. A block a head. The outer loop goes over tiles of keys; what is known of a row so far waits in global memory.

constexpr int HEAD_DIM = 64;
constexpr int ROWS = 32;     // queries in a tile
constexpr int COLUMNS = 16;  // keys in a tile
constexpr int THREADS = 128;
constexpr int PARTS = THREADS / ROWS;  // threads that share a row
constexpr unsigned ALL = 0xffffffff;

extern "C" __global__ void flash_v1(const float *q, const float *k, const float *v, float *o, float *l, float *m, int n,
                                    float scale, int causal) {
  __shared__ float Q[ROWS][HEAD_DIM + 1];
  __shared__ float K[COLUMNS][HEAD_DIM + 1];
  __shared__ float V[COLUMNS][HEAD_DIM];
  __shared__ float P[ROWS][COLUMNS];
  const float minus_infinity = __int_as_float(0xff800000);
  const int head = blockIdx.x * n;
  const int row = threadIdx.x / PARTS, part = threadIdx.x % PARTS;

  for (int key_0 = 0; key_0 < n; key_0 += COLUMNS) {
    for (int e = threadIdx.x; e < COLUMNS * HEAD_DIM; e += THREADS) {
      const int key = key_0 + e / HEAD_DIM, d = e % HEAD_DIM;
      K[e / HEAD_DIM][d] = key < n ? k[(head + key) * HEAD_DIM + d] : 0.0f;
      V[e / HEAD_DIM][d] = key < n ? v[(head + key) * HEAD_DIM + d] : 0.0f;
    }
    for (int query_0 = causal ? key_0 / ROWS * ROWS : 0; query_0 < n; query_0 += ROWS) {
      for (int e = threadIdx.x; e < ROWS * HEAD_DIM; e += THREADS) {
        const int query = query_0 + e / HEAD_DIM, d = e % HEAD_DIM;
        Q[e / HEAD_DIM][d] = query < n ? q[(head + query) * HEAD_DIM + d] : 0.0f;
      }
      __syncthreads();

      const int query = query_0 + row;
      float largest = minus_infinity;
      for (int column = part; column < COLUMNS; column += PARTS) {
        const int key = key_0 + column;
        float score = 0.0f;
        for (int d = 0; d < HEAD_DIM; ++d) score += Q[row][d] * K[column][d];
        score = key < n && (!causal || key <= query) ? score * scale : minus_infinity;
        P[row][column] = score;
        largest = fmaxf(largest, score);
      }
      for (int distance = 1; distance < PARTS; distance *= 2) {
        largest = fmaxf(largest, __shfl_xor_sync(ALL, largest, distance));
      }
      float sum = 0.0f;
      for (int column = part; column < COLUMNS; column += PARTS) {
        const float p = largest == minus_infinity ? 0.0f : expf(P[row][column] - largest);
        P[row][column] = p;
        sum += p;
      }
      for (int distance = 1; distance < PARTS; distance *= 2) {
        sum += __shfl_xor_sync(ALL, sum, distance);
      }
      const float m_old = query < n ? m[head + query] : 0.0f;
      const float l_old = query < n ? l[head + query] : 0.0f;
      __syncwarp();  // the threads of a row see each other's probabilities, and have read m and l before one writes them

      if (query < n && sum > 0.0f) {
        const float m_new = fmaxf(m_old, largest);
        const float keep = expf(m_old - m_new), add = expf(largest - m_new);
        const float l_new = keep * l_old + add * sum;
        for (int d = part; d < HEAD_DIM; d += PARTS) {
          float weighted = 0.0f;
          for (int column = 0; column < COLUMNS; ++column) weighted += P[row][column] * V[column][d];
          float *target = &o[(head + query) * HEAD_DIM + d];
          *target = (l_old * keep * *target + add * weighted) / l_new;
        }
        if (part == 0) {
          m[head + query] = m_new;
          l[head + query] = l_new;
        }
      }
      __syncthreads();  // before the tiles are overwritten
    }
  }
}
