// Lesson 3: fill in the blanks, then run  make check-lesson3
//
// All three compute C = A B for A: (M, K), B: (K, N), C: (M, N) float, row after row. In NumPy:
//
//      C = A @ B        # C[row, column] = sum over k of A[row, k] * B[k, column]
//
// M, N and K may be anything, and 1 and 0 too.

// ---------------------------------------------------------------------------------------------------------------------
// 1. matmul_coalesced. One element of C a thread; blocks of 32 x 32 threads, enough of them to cover C. In NumPy, for
//    the element of a thread:
//
//      if row < M and column < N:
//          C[row, column] = sum(A[row, k] * B[k, column] for k in range(K))
//
//    Neighbouring threads (threadIdx.x) should want neighbouring elements of B and C.

extern "C" __global__ void matmul_coalesced(const float *A, const float *B, float *C, int M, int N, int K) {
  // >>> coalesced: your code here, about 9 lines

  // <<< coalesced
}

// ---------------------------------------------------------------------------------------------------------------------
// 2. matmul_shared_tile. The same blocks and threads, but A and B come by way of shared memory, a tile at a time. In
//    NumPy, for the whole block, with A and B continued by zeros past their ends:
//
//      sum = np.zeros((TILE, TILE))
//      for start in range(0, K, TILE):
//          A_tile = A[first_row:first_row + TILE, start:start + TILE]
//          B_tile = B[start:start + TILE, first_column:first_column + TILE]
//          sum += A_tile @ B_tile
//      C[first_row:first_row + TILE, first_column:first_column + TILE] = sum     # as far as C reaches
//
//    Each thread loads one element of either tile, and __syncthreads() waits for the others.

extern "C" __global__ void __launch_bounds__(1024)  // so the compiler gives each thread at most 64 registers
matmul_shared_tile(const float *A, const float *B, float *C, int M, int N, int K) {
  constexpr int TILE = 32;
  __shared__ float A_tile[TILE][TILE];
  __shared__ float B_tile[TILE][TILE];
  // >>> shared_tile: your code here, about 17 lines

  // <<< shared_tile
}

// ---------------------------------------------------------------------------------------------------------------------
// 3. matmul_register_tile_1d. 512 threads in a row (threadIdx.x, no y) compute a tile of TILE_M x TILE_N: thread t has
//    the column t % TILE_N of it, and the ROWS rows from t / TILE_N * ROWS on. In NumPy, for the block:
//
//      sum = np.zeros((TILE_M, TILE_N))                  # of which a thread keeps ROWS in registers
//      for start in range(0, K, TILE_K):
//          A_tile = A[first_row:first_row + TILE_M, start:start + TILE_K]
//          B_tile = B[start:start + TILE_K, first_column:first_column + TILE_N]
//          for k in range(TILE_K):
//              sum += A_tile[:, k:k + 1] * B_tile[k]     # a thread reads B_tile[k][its column] once, for all its rows
//      C[first_row:first_row + TILE_M, first_column:first_column + TILE_N] = sum
//
//    Either tile has as many elements as the block has threads.

extern "C" __global__ void matmul_register_tile_1d(const float *A, const float *B, float *C, int M, int N, int K) {
  constexpr int TILE_M = 64, TILE_N = 64, TILE_K = 8;
  constexpr int ROWS = 8;  // of C a thread
  __shared__ float A_tile[TILE_M][TILE_K];
  __shared__ float B_tile[TILE_K][TILE_N];
  // >>> register_tile_1d: your code here, about 30 lines

  // <<< register_tile_1d
}
