// FlashAttention-2 in fp32. q, k, v, o: (heads, n, HEAD_DIM); lse: (heads, n). Grid (query tiles, heads). A block keeps a
// tile of queries, with its running maximum, sum and output in registers, while the tiles of keys pass by. Four threads
// share a row: each takes every fourth key of a tile, and a quarter of the row's output.

constexpr int HEAD_DIM = 64;
constexpr int ROWS = 32;     // queries in a block
constexpr int COLUMNS = 32;  // keys in a tile
constexpr int THREADS = 128;
constexpr int PARTS = THREADS / ROWS;
constexpr int WIDTH = HEAD_DIM / PARTS;
constexpr unsigned ALL = 0xffffffff;

extern "C" __global__ void flash_v2(const float *q, const float *k, const float *v, float *o, float *lse, int n,
                                    float scale, int causal) {
  __shared__ float Q[ROWS][HEAD_DIM + 1];
  __shared__ float K[COLUMNS][HEAD_DIM + 1];
  __shared__ float V[COLUMNS][HEAD_DIM];
  __shared__ float P[ROWS][COLUMNS + 1];
  const float minus_infinity = __int_as_float(0xff800000);
  const int head = blockIdx.y * n;
  const int query_0 = blockIdx.x * ROWS;
  const int row = threadIdx.x / PARTS, part = threadIdx.x % PARTS;
  const int query = query_0 + row;

  for (int e = threadIdx.x; e < ROWS * HEAD_DIM; e += THREADS) {
    const int from = query_0 + e / HEAD_DIM;
    Q[e / HEAD_DIM][e % HEAD_DIM] = from < n ? q[head * HEAD_DIM + query_0 * HEAD_DIM + e] : 0.0f;
  }
  float m = minus_infinity, l = 0.0f, acc[WIDTH];
  for (int d = 0; d < WIDTH; ++d) acc[d] = 0.0f;

  const int keys = causal ? min(n, query_0 + ROWS) : n;
  for (int key_0 = 0; key_0 < keys; key_0 += COLUMNS) {
    for (int e = threadIdx.x; e < COLUMNS * HEAD_DIM; e += THREADS) {
      const bool inside = key_0 + e / HEAD_DIM < n;
      const int from = (head + key_0) * HEAD_DIM + e;
      K[e / HEAD_DIM][e % HEAD_DIM] = inside ? k[from] : 0.0f;
      V[e / HEAD_DIM][e % HEAD_DIM] = inside ? v[from] : 0.0f;
    }
    __syncthreads();  // the tiles are complete

    float largest = m;
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
    const float keep = expf(m - largest);
    m = largest;
    l *= keep;
    for (int column = part; column < COLUMNS; column += PARTS) {
      const float p = expf(P[row][column] - m);
      P[row][column] = p;
      l += p;
    }
    __syncwarp();  // a row's probabilities come from the four threads that share it
    for (int d = 0; d < WIDTH; ++d) acc[d] *= keep;
    for (int column = 0; column < COLUMNS; ++column) {
      const float p = P[row][column];
      for (int d = 0; d < WIDTH; ++d) acc[d] += p * V[column][part * WIDTH + d];
    }
    __syncthreads();  // before the tiles are overwritten
  }
  for (int distance = 1; distance < PARTS; distance *= 2) {
    l += __shfl_xor_sync(ALL, l, distance);
  }
  if (query < n) {
    for (int d = 0; d < WIDTH; ++d) o[(head + query) * HEAD_DIM + part * WIDTH + d] = acc[d] / l;
    if (part == 0) lse[head + query] = m + logf(l);
  }
}
