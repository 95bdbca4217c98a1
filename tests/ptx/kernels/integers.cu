// Integer arithmetic in 32 and 64 bits. x, y: n long long, y never 0; out: one row of n long long for each operation.

extern "C" __global__ void integers(const long long *x, const long long *y, long long *out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const long long a = x[i], b = y[i];
  const int small_a = static_cast<int>(a), small_b = static_cast<int>(b);
  const unsigned bits = static_cast<unsigned>(a);
  out[0 * n + i] = a + b;
  out[1 * n + i] = a * b;
  out[2 * n + i] = a / b;
  out[3 * n + i] = a % b;
  out[4 * n + i] = __mul64hi(a, b);
  out[5 * n + i] = a >> (i % 64);
  out[6 * n + i] = static_cast<long long>(static_cast<unsigned long long>(a) >> (i % 64));
  out[7 * n + i] = a << (i % 64);
  out[8 * n + i] = __popcll(a);
  out[9 * n + i] = __clzll(a);
  out[10 * n + i] = __ffsll(a);
  out[11 * n + i] = static_cast<long long>(__brevll(a));
  out[12 * n + i] = __mulhi(small_a, small_b);
  out[13 * n + i] = small_a * small_b;
  out[14 * n + i] = bits / (static_cast<unsigned>(b) | 1u);
  out[15 * n + i] = __funnelshift_l(bits, static_cast<unsigned>(b), i);
  out[16 * n + i] = __byte_perm(bits, static_cast<unsigned>(b), 0x2517);
  out[17 * n + i] = max(a, b) - min(small_a, small_b);
  out[18 * n + i] = __sad(small_a % 1000, small_b % 1000, 7u);
  out[19 * n + i] = __dp4a(small_a, small_b, 5);
  out[20 * n + i] = static_cast<signed char>(a) * static_cast<short>(b);
}
