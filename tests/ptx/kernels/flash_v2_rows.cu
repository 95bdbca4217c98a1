// FlashAttention-2 in fp32, a thread a row. q, k, v, o: (n, HEAD_DIM); lse: (n). One block does all the work: it takes one
// tile of queries after the other. So few threads leave a GPU idle, and the machine without company for each step.

constexpr int HEAD_DIM = 64;
constexpr int COLUMNS = 16;  // keys in a tile

extern "C" __global__ void flash_v2_rows(const float *q, const float *k, const float *v, float *o, float *lse, int n,
                                         float scale, int causal) {
  __shared__ float Q[THREADS][HEAD_DIM + 1];
  __shared__ float O[THREADS][HEAD_DIM + 1];
  __shared__ float K[COLUMNS][HEAD_DIM];
  __shared__ float V[COLUMNS][HEAD_DIM];
  __shared__ float P[THREADS][COLUMNS + 1];
  const float minus_infinity = __int_as_float(0xff800000);
  const int row = threadIdx.x;

  for (int query_0 = 0; query_0 < n; query_0 += THREADS) {
    const int query = query_0 + row;
    for (int e = row; e < THREADS * HEAD_DIM; e += THREADS) {
      Q[e / HEAD_DIM][e % HEAD_DIM] = query_0 * HEAD_DIM + e < n * HEAD_DIM ? q[query_0 * HEAD_DIM + e] : 0.0f;
      O[e / HEAD_DIM][e % HEAD_DIM] = 0.0f;
    }
    float m = minus_infinity, l = 0.0f;
    const int keys = causal ? min(n, query_0 + THREADS) : n;
    for (int key_0 = 0; key_0 < keys; key_0 += COLUMNS) {
      __syncthreads();  // nobody needs the last tile any more
      for (int e = row; e < COLUMNS * HEAD_DIM; e += THREADS) {
        const bool inside = key_0 * HEAD_DIM + e < n * HEAD_DIM;
        K[e / HEAD_DIM][e % HEAD_DIM] = inside ? k[key_0 * HEAD_DIM + e] : 0.0f;
        V[e / HEAD_DIM][e % HEAD_DIM] = inside ? v[key_0 * HEAD_DIM + e] : 0.0f;
      }
      __syncthreads();

      float largest = m;
      for (int column = 0; column < COLUMNS; ++column) {
        float score = 0.0f;
        for (int d = 0; d < HEAD_DIM; ++d) score += Q[row][d] * K[column][d];
        const int key = key_0 + column;
        score = key < n && (!causal || key <= query) ? score * scale : minus_infinity;
        P[row][column] = score;
        largest = fmaxf(largest, score);
      }
      const float keep = expf(m - largest);
      m = largest;
      l *= keep;
      for (int column = 0; column < COLUMNS; ++column) {
        P[row][column] = expf(P[row][column] - m);
        l += P[row][column];
      }
      for (int d = 0; d < HEAD_DIM; ++d) {
        float sum = O[row][d] * keep;
        for (int column = 0; column < COLUMNS; ++column) sum += P[row][column] * V[column][d];
        O[row][d] = sum;
      }
    }
    if (query < n) {
      for (int d = 0; d < HEAD_DIM; ++d) o[query * HEAD_DIM + d] = O[row][d] / l;
      lse[query] = m + logf(l);
    }
    __syncthreads();  // Q and O belong to other rows next
  }
}
