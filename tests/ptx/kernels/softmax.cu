// out = softmax of each row of x. x, out: (rows, columns) float. A block a row; every thread takes each THREADS-th column.

constexpr int THREADS = 64;
constexpr int WARPS = THREADS / 32;
constexpr unsigned ALL = 0xffffffff;

__device__ float largest_of_block(float value, float *of_warps) {
  for (int distance = 16; distance > 0; distance /= 2) {
    value = fmaxf(value, __shfl_xor_sync(ALL, value, distance));
  }
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = value;
  __syncthreads();
  for (int warp = 0; warp < WARPS; ++warp) value = fmaxf(value, of_warps[warp]);
  return value;
}

__device__ float sum_of_block(float value, float *of_warps) {
  for (int distance = 16; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(ALL, value, distance);
  }
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = value;
  __syncthreads();
  value = 0.0f;
  for (int warp = 0; warp < WARPS; ++warp) value += of_warps[warp];
  return value;
}

extern "C" __global__ void softmax(const float *x, float *out, int columns) {
  __shared__ float maxima[WARPS];
  __shared__ float sums[WARPS];
  const float *row = x + blockIdx.x * columns;
  float largest = __int_as_float(0xff800000);  // minus infinity
  for (int column = threadIdx.x; column < columns; column += THREADS) {
    largest = fmaxf(largest, row[column]);
  }
  largest = largest_of_block(largest, maxima);
  float sum = 0.0f;
  for (int column = threadIdx.x; column < columns; column += THREADS) {
    sum += expf(row[column] - largest);
  }
  sum = sum_of_block(sum, sums);
  for (int column = threadIdx.x; column < columns; column += THREADS) {
    out[blockIdx.x * columns + column] = expf(row[column] - largest) / sum;
  }
}
