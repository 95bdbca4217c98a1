// out[i] = x[0] + ... + x[i] over the whole array in one launch. x, out: n int. Each block waits until the block before it
// has published its sum. sums: one int a block; ready: one int a block, 0 at the start.

constexpr int THREADS = 64;

extern "C" __global__ void chained_scan(const int *x, int *out, int *sums, int *ready, int n) {
  __shared__ int values[THREADS];
  __shared__ int before;
  const int t = threadIdx.x, i = blockIdx.x * THREADS + t;
  values[t] = i < n ? x[i] : 0;
  __syncthreads();
  for (int distance = 1; distance < THREADS; distance *= 2) {
    const int left = t >= distance ? values[t - distance] : 0;
    __syncthreads();
    values[t] += left;
    __syncthreads();
  }
  if (t == 0) {
    before = 0;
    if (blockIdx.x > 0) {
      while (atomicAdd(&ready[blockIdx.x - 1], 0) == 0) {
      }
      __threadfence();
      before = __ldcg(&sums[blockIdx.x - 1]);
    }
    sums[blockIdx.x] = before + values[THREADS - 1];
    __threadfence();  // the sum is there before it is announced
    atomicExch(&ready[blockIdx.x], 1);
  }
  __syncthreads();
  if (i < n) out[i] = before + values[t];
}
