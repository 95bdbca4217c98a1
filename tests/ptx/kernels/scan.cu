// out[i] = x[0] + ... + x[i], in each block by itself. x, out: n int.

constexpr int THREADS = 128;
constexpr unsigned ALL = 0xffffffff;

// Hillis and Steele: in step s everyone adds what stands 2^s to the left. Two buffers take turns.
extern "C" __global__ void scan_hillis_steele(const int *x, int *out, int n) {
  __shared__ int sums[2][THREADS];
  const int t = threadIdx.x, i = blockIdx.x * THREADS + t;
  int from = 0;
  sums[from][t] = i < n ? x[i] : 0;
  __syncthreads();
  for (int distance = 1; distance < THREADS; distance *= 2) {
    sums[1 - from][t] = sums[from][t] + (t >= distance ? sums[from][t - distance] : 0);
    from = 1 - from;
    __syncthreads();
  }
  if (i < n) out[i] = sums[from][t];
}

__device__ int scan_of_warp(int value) {
  const int lane = threadIdx.x % 32;
  for (int distance = 1; distance < 32; distance *= 2) {
    const int left = __shfl_up_sync(ALL, value, distance);
    if (lane >= distance) value += left;
  }
  return value;
}

// In registers: each warp by itself, then the sums of the warps.
extern "C" __global__ void scan_warp(const int *x, int *out, int n) {
  __shared__ int sums[THREADS / 32];
  const int t = threadIdx.x, i = blockIdx.x * THREADS + t;
  const int warp = t / 32, lane = t % 32;
  int value = scan_of_warp(i < n ? x[i] : 0);
  if (lane == 31) sums[warp] = value;
  __syncthreads();
  for (int before = 0; before < warp; ++before) value += sums[before];
  if (i < n) out[i] = value;
}
