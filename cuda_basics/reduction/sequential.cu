// The sum or the maximum of x: n float. Each block makes one value of THREADS elements, partial[block].
//
// New: the tree is cut the other way. The first half of the values takes in the second, then the first quarter the
// second quarter, ... The first threads work, and neighbours touch neighbouring words: no conflicts.
//
// Predicted: faster than both. Measured on an H100: 940 GB/s, 3 % more than interleaved. The nine barriers remain.

__device__ float combine(float a, float b) {
  return MAXIMUM ? (a > b || a != a ? a : b) : a + b;  // a != a: a is NaN, which fmaxf would drop
}
#define IDENTITY (MAXIMUM ? -INFINITY : 0.0f)  // combined with it, a value stays what it is

extern "C" __global__ void reduce_sequential(const float *x, float *partial, int n) {
  __shared__ float values[THREADS];
  const int t = threadIdx.x;
  const int i = blockIdx.x * THREADS + t;
  values[t] = i < n ? x[i] : IDENTITY;
  __syncthreads();
  for (int distance = THREADS / 2; distance > 0; distance /= 2) {
    if (t < distance) {
      values[t] = combine(values[t], values[t + distance]);
    }
    __syncthreads();  // the next round reads what other threads wrote in this one
  }
  if (t == 0) partial[blockIdx.x] = values[0];
}
