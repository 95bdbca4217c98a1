// Lesson 11, the second of three exercises: fill in the blank, then run  make check-lesson11
//
// This is mma_sync.cu, in which place() says where chunks of the tiles lie in shared memory.

#include "cuda_basics/tensor_cores/edges.cuh"

constexpr int TILE_M = 128, TILE_N = 128, TILE_K = 64;
constexpr int WARP_M = 64, WARP_N = 64;                              // a warp's part of the tile
constexpr int THREADS = TILE_M / WARP_M * (TILE_N / WARP_N) * 32;
constexpr int A_WIDTH = TILE_K / 8, B_WIDTH = TILE_N / 8;            // chunks in a row of the tiles

// ---------------------------------------------------------------------------------------------------------------------
// place. Where chunk `chunk` (8 elements, 16 bytes) of row `row` lies in a tile with `width` chunks in a row. In NumPy,
// for a layout that is right and slow:
//
//      place = row * width + chunk
//
// ldmatrix reads 8 chunks at a time: those of 8 rows below each other, in one column of the tile. width is 8 for A and
// 16 for B, so in that layout all 8 start in the same bank, and are read one after the other. Shared memory gives 128
// bytes at a time, 8 chunks, if they lie in different columns of 8. Find a place for each chunk,
//
//   - in its own row: row * width up to row * width + width - 1;
//   - two chunks never in the same place;
//   - chunks of one column, in 8 neighbouring rows, in 8 different columns of 8.
//
// The score is the number of bank conflicts in the checker's answer: 0 is wanted.

template <int width>
__device__ __forceinline__ int place(int row, int chunk) {
  int found = 0;
  // >>> swizzle: your code here, about 1 line

  // <<< swizzle
  return found;
}

extern "C" __global__ void __launch_bounds__(THREADS) matmul_swizzled(const scalar *A, const scalar *B, scalar *C, int M, int N, int K) {
  __shared__ Chunk A_tile[TILE_M * A_WIDTH], B_tile[TILE_K * B_WIDTH];
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
  const int first_row = blockIdx.y * TILE_M, first_column = blockIdx.x * TILE_N;
  const int y = warp / (TILE_N / WARP_N) * WARP_M, x = warp % (TILE_N / WARP_N) * WARP_N;  // the warp's part
  float sum[WARP_M / 16][WARP_N / 8][4] = {};

  auto fetch = [&](int start) {
#pragma unroll 4
    for (int i = 0; i < TILE_M * A_WIDTH; i += THREADS) {
      const int row = (i + thread) / A_WIDTH, chunk = (i + thread) % A_WIDTH;
      A_tile[place<A_WIDTH>(row, chunk)] = load_chunk<true>(A, first_row + row, start + chunk * 8, M, K);
    }
#pragma unroll 4
    for (int i = 0; i < TILE_K * B_WIDTH; i += THREADS) {
      const int row = (i + thread) / B_WIDTH, chunk = (i + thread) % B_WIDTH;
      B_tile[place<B_WIDTH>(row, chunk)] = load_chunk<ALIGNED>(B, start + row, first_column + chunk * 8, K, N);
    }
  };

  auto multiply = [&]() {
    for (int k = 0; k < TILE_K; k += 16) {
      uint32_t a[WARP_M / 16][4], b[WARP_N / 16][4];
      for (int i = 0; i < WARP_M / 16; ++i) {
        const int row = y + 16 * i + lane % 16, chunk = k / 8 + lane / 16;
        ldmatrix_x4(a[i], shared_address(&A_tile[place<A_WIDTH>(row, chunk)]));
      }
      for (int j = 0; j < WARP_N / 16; ++j) {
        const int row = k + lane % 16, chunk = x / 8 + 2 * j + lane / 16;
        ldmatrix_x4_transposed(b[j], shared_address(&B_tile[place<B_WIDTH>(row, chunk)]));
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
