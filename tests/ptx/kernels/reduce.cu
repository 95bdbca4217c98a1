// Sums of x: n float. `partial` gets one sum a block, `total` the whole. Five ways, from the slowest to the shortest.

constexpr int THREADS = 128;
constexpr unsigned ALL = 0xffffffff;

extern "C" __global__ void reduce_interleaved(const float *x, float *partial, int n) {
  __shared__ float values[THREADS];
  const int i = blockIdx.x * THREADS + threadIdx.x;
  values[threadIdx.x] = i < n ? x[i] : 0.0f;
  __syncthreads();
  for (int distance = 1; distance < THREADS; distance *= 2) {
    if (threadIdx.x % (2 * distance) == 0) {  // every warp is split
      values[threadIdx.x] += values[threadIdx.x + distance];
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) partial[blockIdx.x] = values[0];
}

extern "C" __global__ void reduce_sequential(const float *x, float *partial, int n) {
  __shared__ float values[THREADS];
  const int i = blockIdx.x * THREADS + threadIdx.x;
  values[threadIdx.x] = i < n ? x[i] : 0.0f;
  __syncthreads();
  for (int half = THREADS / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) {  // the first threads: whole warps rest
      values[threadIdx.x] += values[threadIdx.x + half];
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) partial[blockIdx.x] = values[0];
}

__device__ float sum_of_warp(float value) {
  for (int distance = 16; distance > 0; distance /= 2) {
    value += __shfl_down_sync(ALL, value, distance);
  }
  return value;
}

extern "C" __global__ void reduce_shuffle(const float *x, float *partial, int n) {
  __shared__ float sums[THREADS / 32];
  const int i = blockIdx.x * THREADS + threadIdx.x;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const float sum = sum_of_warp(i < n ? x[i] : 0.0f);
  if (lane == 0) sums[warp] = sum;
  __syncthreads();
  if (warp == 0) {
    const float rest = sum_of_warp(lane < THREADS / 32 ? sums[lane] : 0.0f);
    if (lane == 0) partial[blockIdx.x] = rest;
  }
}

extern "C" __global__ void reduce_atomic(const float *x, float *total, int n) {
  const int i = blockIdx.x * THREADS + threadIdx.x;
  const float sum = sum_of_warp(i < n ? x[i] : 0.0f);
  if (threadIdx.x % 32 == 0) atomicAdd(total, sum);
}

// In one launch: the block that finishes last adds up what the others have left. `finished` starts at 0.
extern "C" __global__ void reduce_two_stages(const float *x, float *partial, float *total, unsigned *finished, int n) {
  __shared__ float values[THREADS];
  __shared__ bool last;
  const int i = blockIdx.x * THREADS + threadIdx.x;
  values[threadIdx.x] = i < n ? x[i] : 0.0f;
  __syncthreads();
  for (int half = THREADS / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) values[threadIdx.x] += values[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = values[0];
    __threadfence();  // others see the sum before they see that it is counted
    last = atomicAdd(finished, 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (last && threadIdx.x == 0) {
    __threadfence();
    float sum = 0.0f;
    for (int block = 0; block < gridDim.x; ++block) sum += __ldcg(&partial[block]);
    *total = sum;
  }
}
