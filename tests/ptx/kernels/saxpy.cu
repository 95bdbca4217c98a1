// y = factor * x + y. x, y: n float. A grid-stride loop: any number of threads does the work of any length.

extern "C" __global__ void saxpy(const float *x, float *y, float factor, int n) {
  const int threads = gridDim.x * blockDim.x;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += threads) {
    y[i] = factor * x[i] + y[i];
  }
}
