// Lesson 1: fill in the two blanks, then run  make check-lesson1

// ---------------------------------------------------------------------------------------------------------------------
// 1. who_am_i. The grid is a line of blocks, a block a line of threads. Thread i of the grid writes down who it is.
//    block, thread, warp and lane are arrays of n int. In NumPy:
//
//      i = np.arange(n)
//      block  = i // threads_per_block      # blockIdx.x
//      thread = i % threads_per_block       # threadIdx.x
//      warp   = thread // 32                # warps are counted inside their block
//      lane   = thread % 32
//
//    The launch has ceil(n / threads_per_block) blocks: sizes never divide evenly.

extern "C" __global__ void who_am_i(int *block, int *thread, int *warp, int *lane, int n) {
  // >>> who_am_i: your code here, about 7 lines

  // <<< who_am_i
}

// ---------------------------------------------------------------------------------------------------------------------
// 2. coordinates. A grid with two directions over a table of (rows, columns) int, row after row in memory. In NumPy:
//
//      row, column = np.mgrid[:rows, :columns]
//      table = 10000 * row + column         # table[row, column] lies at row * columns + column
//
//    Blocks are 32 threads wide (x) and 8 high (y); x runs along a row.

extern "C" __global__ void coordinates(int *table, int rows, int columns) {
  // >>> coordinates: your code here, about 5 lines

  // <<< coordinates
}
