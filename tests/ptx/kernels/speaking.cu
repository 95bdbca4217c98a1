// Prints each x that is above the limit, and asserts that none is negative. x: n int; found: one int, how many were printed.

extern "C" __global__ void speaking(const int *x, int *found, int limit, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  assert(x[i] >= 0);
  if (x[i] > limit) {
    printf("x[%d] = %d is %5.2f times %s %u\n", i, x[i], static_cast<double>(x[i]) / limit, "the limit", limit);
    atomicAdd(found, 1);
  }
}
