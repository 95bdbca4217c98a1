// C = A B. A: (rows, inner), B: (inner, columns), C: (rows, columns) float, row after row. Blocks of TILE x TILE threads.
// Each thread computes one element; a block reads each tile of A and B once, into shared memory.

constexpr int TILE = 16;

extern "C" __global__ void matmul_tiled(const float *A, const float *B, float *C, int rows, int columns, int inner) {
  __shared__ float A_tile[TILE][TILE];
  __shared__ float B_tile[TILE][TILE];
  const int x = threadIdx.x, y = threadIdx.y;
  const int column = blockIdx.x * TILE + x;
  const int row = blockIdx.y * TILE + y;
  float sum = 0.0f;
  for (int start = 0; start < inner; start += TILE) {
    A_tile[y][x] = row < rows && start + x < inner ? A[row * inner + start + x] : 0.0f;
    B_tile[y][x] = start + y < inner && column < columns ? B[(start + y) * columns + column] : 0.0f;
    __syncthreads();  // the tiles are complete
    for (int k = 0; k < TILE; ++k) {
      sum += A_tile[y][k] * B_tile[k][x];
    }
    __syncthreads();  // nobody needs them any more
  }
  if (row < rows && column < columns) {
    C[row * columns + column] = sum;
  }
}
