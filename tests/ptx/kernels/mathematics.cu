// Functions of float. x: n float; out: one row of n float for each function. The last rows are the fast, less exact forms.

extern "C" __global__ void mathematics(const float *x, float *out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const float a = x[i], positive = fabsf(a) + 0.01f;
  out[0 * n + i] = expf(a);
  out[1 * n + i] = exp2f(a);
  out[2 * n + i] = logf(positive);
  out[3 * n + i] = log2f(positive);
  out[4 * n + i] = sqrtf(positive);
  out[5 * n + i] = rsqrtf(positive);
  out[6 * n + i] = 1.0f / positive;
  out[7 * n + i] = tanhf(a);
  out[8 * n + i] = sinf(a);
  out[9 * n + i] = cosf(a);
  out[10 * n + i] = erff(a);
  out[11 * n + i] = powf(positive, 1.7f);
  out[12 * n + i] = floorf(a) + rintf(a);
  out[13 * n + i] = __fdividef(a, positive);
  out[14 * n + i] = __expf(a);
  out[15 * n + i] = __logf(positive);
  out[16 * n + i] = __sinf(a);
}
