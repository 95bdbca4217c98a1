// C = A B for many small matrices, one instruction each. A: tiles of 16 x 16, B: tiles of 16 x 8 of SCALAR, C: tiles of
// 16 x 8 float, one after the other, each row after row. A warp multiplies one pair.
//
// Each lane brings its own elements and takes its own sums away: the fragments of primitives.cuh, read and written by
// hand.

#include "cuda_basics/tensor_cores/primitives.cuh"
using scalar = SCALAR;  // __half or __nv_bfloat16

extern "C" __global__ void one_mma(const scalar *A, const scalar *B, float *C) {
  const size_t tile = blockIdx.x;
  const int lane = threadIdx.x, g = lane / 4, t = lane % 4;
  const uint16_t *A_bits = reinterpret_cast<const uint16_t *>(A) + tile * 16 * 16;  // elements as they are, to be put in pairs
  const uint16_t *B_bits = reinterpret_cast<const uint16_t *>(B) + tile * 16 * 8;
  auto pair_of_A = [&](int row, int column) {  // (row, column) and (row, column + 1)
    return A_bits[row * 16 + column] | uint32_t(A_bits[row * 16 + column + 1]) << 16;
  };
  auto pair_of_B = [&](int row, int column) {  // (row, column) and (row + 1, column)
    return B_bits[row * 8 + column] | uint32_t(B_bits[(row + 1) * 8 + column]) << 16;
  };
  float c[4] = {};
  const uint32_t a[4] = {
      pair_of_A(g, 2 * t), pair_of_A(g + 8, 2 * t), pair_of_A(g, 2 * t + 8), pair_of_A(g + 8, 2 * t + 8)};
  const uint32_t b[2] = {pair_of_B(2 * t, g), pair_of_B(2 * t + 8, g)};
  mma<scalar>(c, a, b[0], b[1]);
  for (int i = 0; i < 4; ++i) {
    const int row = g + i / 2 * 8, column = 2 * t + i % 2;
    C[tile * 16 * 8 + row * 8 + column] = c[i];
  }
}
