// C = A B, one element of C a thread. A: (M, K), B: (K, N), C: (M, N) float, row after row.
//
// New: a block of 32 x 32 threads copies a tile of A and a tile of B into shared memory, where each element serves 32
// threads. Global memory is asked for 32 times less. Places outside of A and B count as zeros, which add nothing. The
// launch bounds: with 1024 threads each can have 64 of the 65,536 registers, and the compiler must not take more.
//
// Expected on an H100: 7.8 TFLOP/s, no gain, unless the compiler joins loads of A_tile. It does. Measured: 8.6.

extern "C" __global__ void __launch_bounds__(1024)
matmul_shared_tile(const float *A, const float *B, float *C, int M, int N, int K) {
  constexpr int TILE = 32;
  __shared__ float A_tile[TILE][TILE];
  __shared__ float B_tile[TILE][TILE];
  const int x = threadIdx.x, y = threadIdx.y;
  const int row = blockIdx.y * TILE + y;
  const int column = blockIdx.x * TILE + x;
  float sum = 0.0f;

  for (int start = 0; start < K; start += TILE) {
    A_tile[y][x] = row < M && start + x < K ? A[row * K + start + x] : 0.0f;
    B_tile[y][x] = start + y < K && column < N ? B[(start + y) * N + column] : 0.0f;
    __syncthreads();  // all of the tiles is there before anybody reads it
    for (int k = 0; k < TILE; ++k) {
      sum += A_tile[y][k] * B_tile[k][x];
    }
    __syncthreads();  // everybody has read them before anybody overwrites them
  }
  if (row < M && column < N) {
    C[row * N + column] = sum;
  }
}
