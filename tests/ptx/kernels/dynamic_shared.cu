// Each block turns its part of x round. x, out: n float; a block has blockDim.x elements, in dynamic shared memory.

extern "C" __global__ void turn_round(const float *x, float *out, int n) {
  extern __shared__ float part[];
  const int first = blockIdx.x * blockDim.x;
  const int count = min(static_cast<int>(blockDim.x), n - first);
  if (threadIdx.x < count) part[threadIdx.x] = x[first + threadIdx.x];
  __syncthreads();
  if (threadIdx.x < count) out[first + threadIdx.x] = part[count - 1 - threadIdx.x];
}
