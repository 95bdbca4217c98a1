// x = a * x + b, `rounds` times over, in place, one element a thread. x: n float.
//
// Two operations a round and eight bytes an element, however many rounds there are: `rounds` sets how long the kernel
// takes beside the copies of its data. Predicted for an H100: a fused multiply-add a round, 16,896 of them a clock at up
// to 1.98 GHz, 33 * 10^12 rounds a second. Measured on an H100 80GB HBM3: 27 * 10^12.

constexpr float A = 1.0f - 1.0f / 4096;  // both are exact in float; x = 2 is where it ends
constexpr float B = 1.0f / 2048;

extern "C" __global__ void iterate(float *x, int n, int rounds) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) {
    float value = x[i];
    for (int round = 0; round < rounds; ++round) value = A * value + B;
    x[i] = value;
  }
}
