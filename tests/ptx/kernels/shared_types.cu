// One piece of dynamic shared memory holds first halves and floats side by side, then something else. THREADS threads.
// out[i] = x[i] rounded to half, and its neighbour's (they are read in pairs), plus twice the x of the mirrored thread.

#include <cuda_fp16.h>

constexpr int THREADS = 64;

extern "C" __global__ void shared_types(const float *x, float *out) {
  extern __shared__ char memory[];
  __half *halves = reinterpret_cast<__half *>(memory);
  float *doubled = reinterpret_cast<float *>(memory + THREADS * sizeof(__half));
  const int t = threadIdx.x, i = blockIdx.x * THREADS + t;
  halves[t] = __float2half(x[i]);
  doubled[t] = 2.0f * x[i];
  __syncthreads();
  const float2 pair = __half22float2(reinterpret_cast<const __half2 *>(halves)[t / 2]);
  const float sum = pair.x + pair.y + doubled[THREADS - 1 - t];
  __syncthreads();  // from here on the memory is used anew
  float *sums = reinterpret_cast<float *>(memory);
  sums[t] = sum;
  __syncthreads();
  out[i ^ 1] = sums[t ^ 1];
}

// out[t] = 4 bytes of x as one number, plus one if any of the first x is above the limit, plus one if t is among them.
// Threads write neighbouring bytes, and several may write the same flag, always with the same value.
extern "C" __global__ void shared_flags(const unsigned char *x, unsigned *out, int limit) {
  __shared__ __align__(4) unsigned char bytes[4 * THREADS];
  __shared__ bool above, seen[THREADS];
  const int t = threadIdx.x;
  if (t == 0) above = false;
  seen[t] = false;
  __syncthreads();
  for (int k = 0; k < 4; ++k) bytes[k * THREADS + t] = x[k * THREADS + t];
  if (x[t] > limit) above = true;
  seen[x[t] % THREADS] = true;
  __syncthreads();
  out[t] = reinterpret_cast<const unsigned *>(bytes)[t] + above + seen[t];
}

// out[t] = the sum of the mirrored elements of all tiles of x. Two buffers, so that one barrier a tile is enough.
extern "C" __global__ void one_barrier(const int *x, int *out, int tiles) {
  __shared__ int buffers[2][THREADS];
  const int t = threadIdx.x;
  int sum = 0;
  buffers[0][t] = x[t];
  for (int tile = 0; tile < tiles; ++tile) {
    __syncthreads();  // this tile has come, and nobody reads the last one any more
    if (tile + 1 < tiles) buffers[(tile + 1) % 2][t] = x[(tile + 1) * THREADS + t];
    sum += buffers[tile % 2][THREADS - 1 - t];
  }
  out[t] = sum;
}
