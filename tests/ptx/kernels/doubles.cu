// Arithmetic in 64 bits of floating point. x, y: n double, y positive; out: one row of n double for each operation.

extern "C" __global__ void doubles(const double *x, const double *y, double *out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const double a = x[i], b = y[i];
  out[0 * n + i] = a + b;
  out[1 * n + i] = a * b;
  out[2 * n + i] = fma(a, b, -a * b);
  out[3 * n + i] = a / b;
  out[4 * n + i] = sqrt(b);
  out[5 * n + i] = floor(a) + ceil(b) + trunc(a) + rint(b);
  out[6 * n + i] = static_cast<float>(a);
  out[7 * n + i] = static_cast<double>(__double2ll_rn(a * 1000.0));
  out[8 * n + i] = fmin(a, b) - fmax(a, b);
  out[9 * n + i] = fabs(a) + copysign(b, a);
}
