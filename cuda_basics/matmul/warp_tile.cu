// C = A B, 8 x 8 elements of C a thread. A: (M, K), B: (K, N), C: (M, N) float, row after row.
//
// New: each warp has a part of the tile, in which its lanes lie as 8 x 4, each with four groups of 4 x 4 elements. The
// part is nearer to a square, so its products need fewer elements; and the 16 bytes that a lane loads from shared
// memory lie beside its neighbour's, so that no two lanes want different words of one bank.
//
// Expected on an H100: at most 51 TFLOP/s. Measured: 36.3: what is left is waiting for memory.

// ALIGNED, named by the launcher: 1 if every row of A, B and C starts at a multiple of 16 bytes. Four elements then lie
// inside of a matrix or outside, all together. If 0, each goes on its own.

__device__ float4 load_4(const float *matrix, int row, int column, int rows, int columns) {
  float4 four = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  if (row < rows && column < columns) {
    const float *first = matrix + row * columns + column;
    if (ALIGNED) {
      four = *reinterpret_cast<const float4 *>(first);
    } else {
      four.x = first[0];
      if (column + 1 < columns) four.y = first[1];
      if (column + 2 < columns) four.z = first[2];
      if (column + 3 < columns) four.w = first[3];
    }
  }
  return four;
}

__device__ void store_4(float *matrix, float4 four, int row, int column, int rows, int columns) {
  if (row < rows && column < columns) {
    float *first = matrix + row * columns + column;
    if (ALIGNED) {
      *reinterpret_cast<float4 *>(first) = four;
    } else {
      first[0] = four.x;
      if (column + 1 < columns) first[1] = four.y;
      if (column + 2 < columns) first[2] = four.z;
      if (column + 3 < columns) first[3] = four.w;
    }
  }
}

extern "C" __global__ void matmul_warp_tile(const float *A, const float *B, float *C, int M, int N, int K) {
  constexpr int TILE_M = 128, TILE_N = 128, TILE_K = 8;
  constexpr int ROWS = 8, COLUMNS = 8;  // of C a thread
  constexpr int THREADS = TILE_M * TILE_N / (ROWS * COLUMNS);
  constexpr int DOWN = 8, ACROSS = 4;                             // lanes of a warp in its part of the tile,
  constexpr int WARP_M = DOWN * ROWS, WARP_N = ACROSS * COLUMNS;  // which has these sizes
  __shared__ alignas(16) float A_tile[TILE_K][TILE_M];  // transposed
  __shared__ alignas(16) float B_tile[TILE_K][TILE_N];
  const int thread = threadIdx.x;
  const int warp = thread / 32, lane = thread % 32;
  const int x = warp % (TILE_N / WARP_N) * WARP_N + lane % ACROSS * 4;  // the thread's first element, in the tile
  const int y = warp / (TILE_N / WARP_N) * WARP_M + lane / ACROSS * 4;
  const int first_row = blockIdx.y * TILE_M, first_column = blockIdx.x * TILE_N;
  float sum[ROWS][COLUMNS] = {};

  for (int start = 0; start < K; start += TILE_K) {
    for (int n = 0; n < TILE_M * TILE_K / (4 * THREADS); ++n) {
      const int i = 4 * (thread + n * THREADS), row = i / TILE_K, k = i % TILE_K;
      const float4 four = load_4(A, first_row + row, start + k, M, K);
      A_tile[k + 0][row] = four.x;
      A_tile[k + 1][row] = four.y;
      A_tile[k + 2][row] = four.z;
      A_tile[k + 3][row] = four.w;
    }
    for (int n = 0; n < TILE_K * TILE_N / (4 * THREADS); ++n) {
      const int i = 4 * (thread + n * THREADS), k = i / TILE_N, column = i % TILE_N;
      *reinterpret_cast<float4 *>(&B_tile[k][column]) = load_4(B, start + k, first_column + column, K, N);
    }
    __syncthreads();  // all of the tiles is there before anybody reads it
    for (int k = 0; k < TILE_K; ++k) {
      alignas(16) float a[ROWS], b[COLUMNS];
      for (int i = 0; i < ROWS; i += 4) {
        *reinterpret_cast<float4 *>(&a[i]) = *reinterpret_cast<const float4 *>(&A_tile[k][y + i * DOWN]);
      }
      for (int j = 0; j < COLUMNS; j += 4) {
        *reinterpret_cast<float4 *>(&b[j]) = *reinterpret_cast<const float4 *>(&B_tile[k][x + j * ACROSS]);
      }
      for (int i = 0; i < ROWS; ++i) {
        for (int j = 0; j < COLUMNS; ++j) {
          sum[i][j] += a[i] * b[j];
        }
      }
    }
    __syncthreads();  // everybody has read them before anybody overwrites them
  }
  for (int i = 0; i < ROWS; ++i) {
    for (int j = 0; j < COLUMNS; j += 4) {
      const float4 four = make_float4(sum[i][j], sum[i][j + 1], sum[i][j + 2], sum[i][j + 3]);
      const int row = y + i / 4 * 4 * DOWN + i % 4, column = x + j * ACROSS;
      store_4(C, four, first_row + row, first_column + column, M, N);
    }
  }
}
