// Lesson 11, the third of three exercises: fill in the blank near the end, then run  make check-lesson11

#include "cuda_basics/tensor_cores/edges.cuh"

constexpr int TILE_M = 128, TILE_N = 128, TILE_K = 64;
constexpr int WARP_M = 64, WARP_N = 64;                              // a warp's part of the tile
constexpr int THREADS = TILE_M / WARP_M * (TILE_N / WARP_N) * 32;
constexpr int A_WIDTH = TILE_K / 8, B_WIDTH = TILE_N / 8;            // chunks in a row of the tiles
constexpr int STAGES = 3;                                            // pairs of tiles in shared memory at a time
constexpr int STAGE = TILE_M * A_WIDTH + TILE_K * B_WIDTH;           // chunks in a pair

extern "C" __global__ void __launch_bounds__(THREADS) matmul_pipelined(const scalar *A, const scalar *B, scalar *C, int M, int N, int K) {
  extern __shared__ Chunk tiles[];  // STAGES times a tile of A and one of B
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
  const int first_row = blockIdx.y * TILE_M, first_column = blockIdx.x * TILE_N;
  const int y = warp / (TILE_N / WARP_N) * WARP_M, x = warp % (TILE_N / WARP_N) * WARP_N;  // the warp's part
  float sum[WARP_M / 16][WARP_N / 8][4] = {};

  auto fetch = [&](int start, int stage) {
    Chunk *A_tile = tiles + stage * STAGE, *B_tile = A_tile + TILE_M * A_WIDTH;
#pragma unroll 4
    for (int i = 0; i < TILE_M * A_WIDTH; i += THREADS) {
      const int row = (i + thread) / A_WIDTH, chunk = (i + thread) % A_WIDTH;
      copy_chunk<true>(&A_tile[swizzled<A_WIDTH>(row, chunk)], A, first_row + row, start + chunk * 8, M, K);
    }
#pragma unroll 4
    for (int i = 0; i < TILE_K * B_WIDTH; i += THREADS) {
      const int row = (i + thread) / B_WIDTH, chunk = (i + thread) % B_WIDTH;
      copy_chunk<ALIGNED>(&B_tile[swizzled<B_WIDTH>(row, chunk)], B, start + row, first_column + chunk * 8, K, N);
    }
  };

  auto multiply = [&](int stage) {
    const Chunk *A_tile = tiles + stage * STAGE, *B_tile = A_tile + TILE_M * A_WIDTH;
    for (int k = 0; k < TILE_K; k += 16) {
      uint32_t a[WARP_M / 16][4], b[WARP_N / 16][4];
      for (int i = 0; i < WARP_M / 16; ++i) {
        const int row = y + 16 * i + lane % 16, chunk = k / 8 + lane / 16;
        ldmatrix_x4(a[i], shared_address(&A_tile[swizzled<A_WIDTH>(row, chunk)]));
      }
      for (int j = 0; j < WARP_N / 16; ++j) {
        const int row = k + lane % 16, chunk = x / 8 + 2 * j + lane / 16;
        ldmatrix_x4_transposed(b[j], shared_address(&B_tile[swizzled<B_WIDTH>(row, chunk)]));
      }
      for (int i = 0; i < WARP_M / 16; ++i) {
        for (int j = 0; j < WARP_N / 8; ++j) {
          mma<scalar>(sum[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
        }
      }
    }
  };

  // -------------------------------------------------------------------------------------------------------------------
  // overlap. What you have: fetch(start, stage) starts copies of the pair of tiles at columns start of A and rows start
  // of B to one of STAGES places in shared memory, and doesn't wait. multiply(stage) adds the product of the pair in a
  // place to the sums. In NumPy, with A and B continued by zeros:
  //
  //      for start in range(0, K, TILE_K):
  //          sum += A[:, start:start + TILE_K] @ B[start:start + TILE_K]
  //
  // Right, and slow: fetch one, wait for all, multiply, and so on. What is wanted: while a pair is multiplied, the next
  // STAGES - 1 are on their way.
  //
  //   - end_copy_group() ends a group of copies; wait_copy_groups<n>() waits until at most the n newest groups are open.
  //   - A thread waits for its own copies only. For those of others it takes a __syncthreads() more.
  //   - A place may be filled again when all threads have read it.
  //   - K may end before there are STAGES pairs, and need not be a multiple of TILE_K. It is at least 8.
  //
  // >>> overlap: your code here, about 12 lines

  // <<< overlap

  for (int i = 0; i < WARP_M / 16; ++i) {
    for (int j = 0; j < WARP_N / 8; ++j) {
      const int row = first_row + y + 16 * i + lane / 4, column = first_column + x + 8 * j + lane % 4 * 2;
      store_pair<ALIGNED>(C, sum[i][j][0], sum[i][j][1], row, column, M, N);
      store_pair<ALIGNED>(C, sum[i][j][2], sum[i][j][3], row + 8, column, M, N);
    }
  }
}
