// C = A B on tensor cores, through nvcuda::wmma. A: (M, K), B: (K, N), C: (M, N) of SCALAR, row after row; the sums are
// float. K is a multiple of 8. ALIGNED, named by the launcher: 1 if N is one, too.
//
// A block computes a tile of C from tiles of A and B in shared memory. Each of its warps owns a part of the tile and
// adds it up as fragments of 16 x 16, which the whole warp holds together. Which lane holds which element, wmma doesn't
// say. So the sums must go through shared memory once more before they can be rounded and stored. 88 TFLOP/s on an
// H100 (bfloat16, 8192 x 8192 x 8192; cuBLAS 729).

#include <mma.h>

#include "cuda_basics/tensor_cores/edges.cuh"
using namespace nvcuda;

constexpr int TILE_M = 128, TILE_N = 128, TILE_K = 64;
constexpr int WARP_M = 64, WARP_N = 64;                              // a warp's part of the tile
constexpr int THREADS = TILE_M / WARP_M * (TILE_N / WARP_N) * 32;
constexpr int A_WIDTH = TILE_K / 8, B_WIDTH = TILE_N / 8;            // chunks in a row of the tiles

extern "C" __global__ void __launch_bounds__(THREADS) matmul_wmma(const scalar *A, const scalar *B, scalar *C, int M, int N, int K) {
  __shared__ Chunk A_tile[TILE_M * A_WIDTH], B_tile[TILE_K * B_WIDTH];
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
  const int first_row = blockIdx.y * TILE_M, first_column = blockIdx.x * TILE_N;
  const int y = warp / (TILE_N / WARP_N) * WARP_M, x = warp % (TILE_N / WARP_N) * WARP_N;  // the warp's part
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum[WARP_M / 16][WARP_N / 16];
  for (auto &row : sum) {
    for (auto &fragment : row) wmma::fill_fragment(fragment, 0.0f);
  }

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
      wmma::fragment<wmma::matrix_a, 16, 16, 16, scalar, wmma::row_major> a[WARP_M / 16];
      wmma::fragment<wmma::matrix_b, 16, 16, 16, scalar, wmma::row_major> b[WARP_N / 16];
      for (int i = 0; i < WARP_M / 16; ++i) {
        wmma::load_matrix_sync(a[i], reinterpret_cast<scalar *>(&A_tile[(y + 16 * i) * A_WIDTH + k / 8]), TILE_K);
      }
      for (int j = 0; j < WARP_N / 16; ++j) {
        wmma::load_matrix_sync(b[j], reinterpret_cast<scalar *>(&B_tile[k * B_WIDTH + x / 8 + 2 * j]), TILE_N);
      }
      for (int i = 0; i < WARP_M / 16; ++i) {
        for (int j = 0; j < WARP_N / 16; ++j) wmma::mma_sync(sum[i][j], a[i], b[j], sum[i][j]);
      }
    }
  };

  for (int start = 0; start < K; start += TILE_K) {
    fetch(start);
    __syncthreads();  // all of the tiles is there before anybody reads it
    multiply();
    __syncthreads();  // everybody has read them before anybody overwrites them
  }

  float *patch = reinterpret_cast<float *>(A_tile) + warp * 256;  // each warp's own 16 x 16 floats
#pragma unroll
  for (int i = 0; i < WARP_M / 16; ++i) {
    for (int j = 0; j < WARP_N / 16; ++j) {
      wmma::store_matrix_sync(patch, sum[i][j], 16, wmma::mem_row_major);
      __syncwarp();
      for (int pair = lane; pair < 128; pair += 32) {
        const int row = first_row + y + 16 * i + pair / 8, column = first_column + x + 16 * j + pair % 8 * 2;
        store_pair<ALIGNED>(C, patch[2 * pair], patch[2 * pair + 1], row, column, M, N);
      }
      __syncwarp();  // all have read before the next fragment comes
    }
  }
}
