// C = A B with nvcuda::wmma. A: (rows, inner), B: (inner, columns) SCALAR (__half or __nv_bfloat16); C: (rows, columns) float;
// all sizes are multiples of 16. Each warp computes a tile of 16 x 16; a block has two warps, side by side.

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>
using namespace nvcuda;

constexpr int TILE = 16;

extern "C" __global__ void matmul_wmma(const SCALAR *A, const SCALAR *B, float *C, int rows, int columns, int inner) {
  const int row = blockIdx.y * TILE;
  const int column = (blockIdx.x * 2 + threadIdx.x / 32) * TILE;
  if (row >= rows || column >= columns) return;  // a whole warp
  wmma::fragment<wmma::matrix_a, TILE, TILE, TILE, SCALAR, wmma::row_major> a;
  wmma::fragment<wmma::matrix_b, TILE, TILE, TILE, SCALAR, wmma::row_major> b;
  wmma::fragment<wmma::accumulator, TILE, TILE, TILE, float> sum;
  wmma::fill_fragment(sum, 0.0f);
  for (int k = 0; k < inner; k += TILE) {
    wmma::load_matrix_sync(a, A + row * inner + k, inner);
    wmma::load_matrix_sync(b, B + k * columns + column, columns);
    wmma::mma_sync(sum, a, b, sum);
  }
  wmma::store_matrix_sync(C + row * columns + column, sum, columns, wmma::mem_row_major);
}
