// out[i] = sum of x[i - RADIUS ... i + RADIUS], zero outside. x, out: n int. A block keeps its part of x, with an edge
// of RADIUS on both sides, in shared memory.

constexpr int THREADS = 64;
constexpr int RADIUS = 3;

extern "C" __global__ void stencil(const int *x, int *out, int n) {
  __shared__ int part[THREADS + 2 * RADIUS];
  const int i = blockIdx.x * THREADS + threadIdx.x;
  const int place = threadIdx.x + RADIUS;
  part[place] = i < n ? x[i] : 0;
  if (threadIdx.x < RADIUS) {
    const int left = i - RADIUS;
    const int right = i + THREADS;
    part[place - RADIUS] = left >= 0 ? x[left] : 0;
    part[place + THREADS] = right < n ? x[right] : 0;
  }
  __syncthreads();
  int sum = 0;
  for (int step = -RADIUS; step <= RADIUS; ++step) {
    sum += part[place + step];
  }
  if (i < n) {
    out[i] = sum;
  }
}
