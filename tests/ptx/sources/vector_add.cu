// Vector addition: plain, strided, 16 bytes at a time, and without a guard.
#include <cuda_fp16.h>
#ifndef SCALAR
#define SCALAR float
#endif
using scalar = SCALAR;
constexpr int WIDTH = 16 / sizeof(scalar);
struct alignas(16) Pack { scalar v[WIDTH]; };

extern "C" __global__ void plain(const scalar *a, const scalar *b, scalar *c, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) c[i] = a[i] + b[i];
}

extern "C" __global__ void strided(const scalar *a, const scalar *b, scalar *c, int n, int stride) {
  const int t = blockIdx.x * blockDim.x + threadIdx.x;
  const int i = t % (n / stride) * stride + t / (n / stride);
  if (t < n) c[i] = a[i] + b[i];
}

extern "C" __global__ void vectorised(const scalar *a, const scalar *b, scalar *c, int n) {
  const int first = (blockIdx.x * blockDim.x + threadIdx.x) * WIDTH;
  if (first + WIDTH <= n) {
    const Pack x = *reinterpret_cast<const Pack *>(a + first);
    const Pack y = *reinterpret_cast<const Pack *>(b + first);
    Pack z;
    for (int k = 0; k < WIDTH; ++k) z.v[k] = x.v[k] + y.v[k];
    *reinterpret_cast<Pack *>(c + first) = z;
  } else {
    for (int i = first; i < n; ++i) c[i] = a[i] + b[i];
  }
}

extern "C" __global__ void unguarded(const scalar *a, const scalar *b, scalar *c) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  c[i] = a[i] + b[i];
}

extern "C" __global__ void before(const scalar *a, scalar *c) {
  c[threadIdx.x] = a[(int)threadIdx.x - 1];
}

extern "C" __global__ void endless(int *a, int n) {
  for (int i = 0; i != n; i += 2) a[0] += i;
}

extern "C" __global__ void hello(const char *who, double x) {
  if (threadIdx.x % 2)
    printf("%5d|%-4u|%x|%lld|%g|%.3e|%c|%s|100%%\n", -(int)threadIdx.x, blockIdx.x, 255, 1ll << 40, x, x, 'z', who);
}
