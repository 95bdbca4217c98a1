// Which lane holds what? One warp loads fragments of tiles in shared memory, multiplies them, and every lane writes
// down what it got. A: 16 x 16, B: 16 x 8 of __half, row after row. A_held: (lane, register, half) and B_held likewise,
// as ldmatrix delivers them; C_held: (lane, register), what mma made of them.

#include "cuda_basics/tensor_cores/primitives.cuh"

extern "C" __global__ void layouts(const __half *A, const __half *B, __half2 *A_held, __half2 *B_held, float *C_held) {
  __shared__ alignas(16) __half A_tile[16 * 16], B_tile[16 * 8];
  const int lane = threadIdx.x;
  for (int i = lane; i < 16 * 16; i += 32) A_tile[i] = A[i];
  for (int i = lane; i < 16 * 8; i += 32) B_tile[i] = B[i];
  __syncwarp();
  uint32_t a[4], b[4];
  ldmatrix_x4(a, shared_address(&A_tile[lane % 16 * 16 + lane / 16 * 8]));
  ldmatrix_x4_transposed(b, shared_address(&B_tile[lane % 16 * 8]));  // the tile twice: b[2] and b[3] repeat b[0] and b[1]
  float c[4] = {};
  mma<__half>(c, a, b[0], b[1]);
  for (int i = 0; i < 4; ++i) {
    A_held[lane * 4 + i] = *reinterpret_cast<__half2 *>(&a[i]);
    if (i < 2) B_held[lane * 2 + i] = *reinterpret_cast<__half2 *>(&b[i]);
    C_held[lane * 4 + i] = c[i];
  }
}
