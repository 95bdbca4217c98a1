// Functions that the compiler doesn't inline. x: n int; out: 3 rows of n int.

struct Range {
  int low, high;
};

__noinline__ __device__ int power(int base, int exponent) {
  int result = 1;
  for (; exponent > 0; exponent /= 2) {
    if (exponent % 2 == 1) result *= base;
    base *= base;
  }
  return result;
}

__noinline__ __device__ int common_divisor(int a, int b) {
  while (b != 0) {
    const int rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

__noinline__ __device__ Range around(int value, int distance) { return {value - distance, value + power(distance, 2)}; }

__noinline__ __device__ void add_to(int *total, int value) { *total += value; }

extern "C" __global__ void functions(const int *x, int *out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  out[i] = x[i] % 2 == 0 ? power(x[i], 3) : common_divisor(x[i], 36);
  const Range range = around(x[i], i % 7);
  out[n + i] = range.low * range.high;
  int total = i;
  for (int k = 0; k < i % 5; ++k) add_to(&total, x[i] + k);
  out[2 * n + i] = total;
}
