// counts[v] += how often v is in x. x: n values of 0 ... BINS - 1 (unsigned char); counts: BINS int. A block counts in shared
// memory first, so that global memory sees one update a bin.

constexpr int BINS = 48;

extern "C" __global__ void histogram(const unsigned char *x, int *counts, int n) {
  __shared__ int mine[BINS];
  for (int bin = threadIdx.x; bin < BINS; bin += blockDim.x) {
    mine[bin] = 0;
  }
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    atomicAdd(&mine[x[i]], 1);
  }
  __syncthreads();
  for (int bin = threadIdx.x; bin < BINS; bin += blockDim.x) {
    atomicAdd(&counts[bin], mine[bin]);
  }
}
