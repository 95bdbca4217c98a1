// c = a + b, one element a thread. a, b, c: n of SCALAR (float or __half, named by the launcher).
//
// Neighbouring threads touch neighbouring elements, so a warp's 32 loads fall into as few 32-byte sectors as possible:
// 4 for float, 2 for __half.

#include <cuda_fp16.h>
using scalar = SCALAR;

extern "C" __global__ void vector_add(const scalar *a, const scalar *b, scalar *c, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) {
    c[i] = a[i] + b[i];
  }
}
