// C = A B on tensor cores, with tiles on their way while others are multiplied. A: (M, K), B: (K, N), C: (M, N) of
// SCALAR, row after row; the sums are float. K is a multiple of 8. ALIGNED, named by the launcher: 1 if N is one, too.
//
// New: cp.async, into STAGES places for pairs of tiles, and a loop with one barrier that fetches STAGES - 1 pairs
// ahead. Where ALIGNED is 0, chunks of B come through registers, element by element, and are waited for.
//
// Predicted: most of the time that tiles take to come is hidden; warps still wait for ldmatrix. Measured: 350.

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
    for (int i = 0; i < TILE_M * A_WIDTH; i += THREADS) {
      const int row = (i + thread) / A_WIDTH, chunk = (i + thread) % A_WIDTH;
      copy_chunk<true>(&A_tile[swizzled<A_WIDTH>(row, chunk)], A, first_row + row, start + chunk * 8, M, K);
    }
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

  for (int stage = 0; stage < STAGES - 1; ++stage) {
    if (stage * TILE_K < K) fetch(stage * TILE_K, stage);
    end_copy_group();
  }
  for (int start = 0, stage = 0; start < K; start += TILE_K, stage = (stage + 1) % STAGES) {
    wait_copy_groups<STAGES - 2>();  // this thread's part of this pair has come,
    __syncthreads();                 // and everybody's; and the pair before it has been read by all: its place is free
    const int ahead = start + (STAGES - 1) * TILE_K;
    if (ahead < K) fetch(ahead, (stage + STAGES - 1) % STAGES);
    end_copy_group();  // also where there was nothing to fetch: the wait counts groups
    multiply(stage);
  }

  for (int i = 0; i < WARP_M / 16; ++i) {
    for (int j = 0; j < WARP_N / 8; ++j) {
      const int row = first_row + y + 16 * i + lane / 4, column = first_column + x + 8 * j + lane % 4 * 2;
      store_pair<ALIGNED>(C, sum[i][j][0], sum[i][j][1], row, column, M, N);
      store_pair<ALIGNED>(C, sum[i][j][2], sum[i][j][3], row + 8, column, M, N);
    }
  }
}
