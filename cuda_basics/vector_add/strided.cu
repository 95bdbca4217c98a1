// c = a + b, one element a thread, in the wrong order on purpose. a, b, c: n of SCALAR (float or __half).
//
// The array is seen as a table of rows of STRIDE elements, and the threads walk down its columns: neighbouring threads
// touch elements STRIDE apart. With float that is 32 bytes: each load of a warp needs 32 sectors, and uses one element of
// each. The other seven are fetched again, one by one, when the threads come to the other columns.

#include <cuda_fp16.h>
using scalar = SCALAR;
constexpr int STRIDE = 8;

extern "C" __global__ void vector_add_strided(const scalar *a, const scalar *b, scalar *c, int n) {
  const int rows = (n - 1) / STRIDE + 1;
  const int t = blockIdx.x * blockDim.x + threadIdx.x;
  const int i = t % rows * STRIDE + t / rows;
  if (t / rows < STRIDE && i < n) {
    c[i] = a[i] + b[i];
  }
}
