// out[i] = a polynomial of x[i] whose coefficients lie in constant memory, times a weight from a table in global memory.
// x, out: n float.

constexpr int DEGREE = 4;
__constant__ float coefficients[DEGREE + 1] = {0.5f, -1.0f, 0.25f, 2.0f, -0.125f};
__device__ const float weights[3] = {1.0f, 2.0f, 4.0f};

extern "C" __global__ void polynomial(const float *x, float *out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) {
    float value = 0.0f;
#pragma unroll 1
    for (int power = DEGREE; power >= 0; --power) {
      value = value * x[i] + coefficients[power];
    }
    out[i] = value * weights[i % 3];
  }
}
