// Lesson 11, the first of three exercises: fill in the blank, then run  make check-lesson11

#include "cuda_basics/tensor_cores/primitives.cuh"
using scalar = SCALAR;  // __half or __nv_bfloat16

// ---------------------------------------------------------------------------------------------------------------------
// one_mma. A warp multiplies one pair of tiles, A 16 x 16 and B 16 x 8, with one instruction. In NumPy:
//
//      C = A @ B
//
// Each lane must bring its own elements of A and B, and take its own sums to C. Which ones these are is drawn at the
// top of cuda_basics/tensor_cores/primitives.cuh, with g = lane / 4 and t = lane % 4. For lane 5 both are 1:
//
//      a[0] = A[1, 2], A[1, 3]     a[1] = A[9, 2], A[9, 3]     a[2] = A[1, 10], A[1, 11]     a[3] = A[9, 10], A[9, 11]
//      b[0] = B[2, 1], B[3, 1]     b[1] = B[10, 1], B[11, 1]
//      c[0], c[1] = C[1, 2], C[1, 3]     c[2], c[3] = C[9, 2], C[9, 3]
//
// pair_of_A and pair_of_B put two elements into one register.

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
  // >>> fragments: your code here, about 7 lines: a, b, mma<scalar>(c, a, b[0], b[1]), and c to C

  // <<< fragments
}
