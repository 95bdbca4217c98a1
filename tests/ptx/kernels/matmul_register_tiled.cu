// C = A B. A: (rows, inner), B: (inner, columns), C: (rows, columns) float. 64 threads compute a tile of 32 x 32, each of
// them 4 x 4 elements in registers. inner and columns are multiples of 4, so that rows are read 16 bytes at a time.

constexpr int TILE = 32;
constexpr int DEPTH = 8;
constexpr int WIDTH = 4;

extern "C" __global__ void matmul_register_tiled(const float *A, const float *B, float *C, int rows, int columns, int inner) {
  __shared__ float A_tile[DEPTH][TILE];  // transposed, so that a thread's four rows lie side by side
  __shared__ float B_tile[DEPTH][TILE];
  const int thread = threadIdx.x;
  const int row_0 = blockIdx.y * TILE;
  const int column_0 = blockIdx.x * TILE;
  const int x = thread % (TILE / WIDTH) * WIDTH;
  const int y = thread / (TILE / WIDTH) * WIDTH;
  const int A_row = thread / (DEPTH / WIDTH), A_column = thread % (DEPTH / WIDTH) * WIDTH;
  const int B_row = thread / (TILE / WIDTH), B_column = thread % (TILE / WIDTH) * WIDTH;
  const float4 zero = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  float sum[WIDTH][WIDTH] = {};

  for (int start = 0; start < inner; start += DEPTH) {
    float4 a = zero, b = zero;
    if (row_0 + A_row < rows && start + A_column < inner) {
      a = *reinterpret_cast<const float4 *>(&A[(row_0 + A_row) * inner + start + A_column]);
    }
    if (start + B_row < inner && column_0 + B_column < columns) {
      b = *reinterpret_cast<const float4 *>(&B[(start + B_row) * columns + column_0 + B_column]);
    }
    A_tile[A_column + 0][A_row] = a.x;
    A_tile[A_column + 1][A_row] = a.y;
    A_tile[A_column + 2][A_row] = a.z;
    A_tile[A_column + 3][A_row] = a.w;
    *reinterpret_cast<float4 *>(&B_tile[B_row][B_column]) = b;
    __syncthreads();
    for (int k = 0; k < DEPTH; ++k) {
      const float4 left = *reinterpret_cast<const float4 *>(&A_tile[k][y]);
      const float4 right = *reinterpret_cast<const float4 *>(&B_tile[k][x]);
      const float lefts[WIDTH] = {left.x, left.y, left.z, left.w};
      const float rights[WIDTH] = {right.x, right.y, right.z, right.w};
      for (int i = 0; i < WIDTH; ++i) {
        for (int j = 0; j < WIDTH; ++j) {
          sum[i][j] += lefts[i] * rights[j];
        }
      }
    }
    __syncthreads();
  }
  for (int i = 0; i < WIDTH; ++i) {
    if (row_0 + y + i < rows && column_0 + x < columns) {
      float4 *target = reinterpret_cast<float4 *>(&C[(row_0 + y + i) * columns + column_0 + x]);
      *target = make_float4(sum[i][0], sum[i][1], sum[i][2], sum[i][3]);
    }
  }
}
