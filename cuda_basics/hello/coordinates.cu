// A grid with two directions over a table with two directions: table is (rows, columns) int, row after row in memory.
// The thread at (row, column) writes 10000 * row + column.
//
// x runs along a row, because neighbours in x are neighbours in a warp, and neighbours in a row are neighbours in memory.

extern "C" __global__ void coordinates(int *table, int rows, int columns) {
  const int column = blockIdx.x * blockDim.x + threadIdx.x;
  const int row = blockIdx.y * blockDim.y + threadIdx.y;
  if (row < rows && column < columns) {  // blocks at the right and lower edge reach past the table
    table[row * columns + column] = 10000 * row + column;
  }
}
