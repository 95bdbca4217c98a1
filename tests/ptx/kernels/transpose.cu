// out = x transposed. x: (rows, columns) float; out: (columns, rows). Blocks of TILE x LINES threads move a tile of
// TILE x TILE through shared memory, so that both sides are read and written along rows. PADDING 1 keeps a column of
// the tile out of one bank.

constexpr int TILE = 32;
constexpr int LINES = 8;

extern "C" __global__ void transpose(const float *x, float *out, int rows, int columns) {
  __shared__ float tile[TILE][TILE + PADDING];
  const int column = blockIdx.x * TILE + threadIdx.x;
  for (int line = threadIdx.y; line < TILE; line += LINES) {
    const int row = blockIdx.y * TILE + line;
    if (row < rows && column < columns) {
      tile[line][threadIdx.x] = x[row * columns + column];
    }
  }
  __syncthreads();
  const int out_column = blockIdx.y * TILE + threadIdx.x;
  for (int line = threadIdx.y; line < TILE; line += LINES) {
    const int out_row = blockIdx.x * TILE + line;
    if (out_row < columns && out_column < rows) {
      out[out_row * rows + out_column] = tile[threadIdx.x][line];
    }
  }
}
