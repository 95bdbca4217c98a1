// C = A B on tensor cores, through mma.sync and ldmatrix. A: (M, K), B: (K, N), C: (M, N) of SCALAR, row after row; the
// sums are float. K is a multiple of 8. ALIGNED, named by the launcher: 1 if N is one, too.
//
// New: the instructions behind wmma. primitives.cuh draws which lane holds which element. The sums stay in registers: a
// lane knows its two neighbouring elements of a row, rounds them and stores them.
//
// Predicted: little. An ldmatrix.x4 takes 32 wavefronts, as all rows of a tile start in the same bank: 482 operations
// for each wavefront, so at most 112 TFLOP/s on an H100 (132 multiprocessors at 1.755 GHz). Measured: 100.

#include "cuda_basics/tensor_cores/edges.cuh"

constexpr int TILE_M = 128, TILE_N = 128, TILE_K = 64;
constexpr int WARP_M = 64, WARP_N = 64;                              // a warp's part of the tile
constexpr int THREADS = TILE_M / WARP_M * (TILE_N / WARP_N) * 32;
constexpr int A_WIDTH = TILE_K / 8, B_WIDTH = TILE_N / 8;            // chunks in a row of the tiles

extern "C" __global__ void __launch_bounds__(THREADS) matmul_mma_sync(const scalar *A, const scalar *B, scalar *C, int M, int N, int K) {
  __shared__ Chunk A_tile[TILE_M * A_WIDTH], B_tile[TILE_K * B_WIDTH];
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
  const int first_row = blockIdx.y * TILE_M, first_column = blockIdx.x * TILE_N;
  const int y = warp / (TILE_N / WARP_N) * WARP_M, x = warp % (TILE_N / WARP_N) * WARP_N;  // the warp's part
  float sum[WARP_M / 16][WARP_N / 8][4] = {};

  auto fetch = [&](int start) {
    for (int i = 0; i < TILE_M * A_WIDTH; i += THREADS) {
      const int row = (i + thread) / A_WIDTH, chunk = (i + thread) % A_WIDTH;
      A_tile[row * A_WIDTH + chunk] = load_chunk<true>(A, first_row + row, start + chunk * 8, M, K);
    }
    for (int i = 0; i < TILE_K * B_WIDTH; i += THREADS) {
      const int row = (i + thread) / B_WIDTH, chunk = (i + thread) % B_WIDTH;
      B_tile[row * B_WIDTH + chunk] = load_chunk<ALIGNED>(B, start + row, first_column + chunk * 8, K, N);
    }
  };

  auto multiply = [&]() {
    for (int k = 0; k < TILE_K; k += 16) {
      uint32_t a[WARP_M / 16][4], b[WARP_N / 16][4];
      for (int i = 0; i < WARP_M / 16; ++i) {
        const int row = y + 16 * i + lane % 16, chunk = k / 8 + lane / 16;
        ldmatrix_x4(a[i], shared_address(&A_tile[row * A_WIDTH + chunk]));
      }
      for (int j = 0; j < WARP_N / 16; ++j) {
        const int row = k + lane % 16, chunk = x / 8 + 2 * j + lane / 16;
        ldmatrix_x4_transposed(b[j], shared_address(&B_tile[row * B_WIDTH + chunk]));
      }
      for (int i = 0; i < WARP_M / 16; ++i) {
        for (int j = 0; j < WARP_N / 8; ++j) {
          mma<scalar>(sum[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
        }
      }
    }
  };

  for (int start = 0; start < K; start += TILE_K) {
    fetch(start);
    __syncthreads();  // all of the tiles is there before anybody reads it
    multiply();
    __syncthreads();  // everybody has read them before anybody overwrites them
  }

  for (int i = 0; i < WARP_M / 16; ++i) {
    for (int j = 0; j < WARP_N / 8; ++j) {
      const int row = first_row + y + 16 * i + lane / 4, column = first_column + x + 8 * j + lane % 4 * 2;
      store_pair<ALIGNED>(C, sum[i][j][0], sum[i][j][1], row, column, M, N);
      store_pair<ALIGNED>(C, sum[i][j][2], sum[i][j][3], row + 8, column, M, N);
    }
  }
}
