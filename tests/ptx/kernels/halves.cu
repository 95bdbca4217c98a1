// Arithmetic in 16 bits, element by element, written to one row of out for each operation.
// half_*: x, y: n __half. bfloat_*: x, y: n __nv_bfloat16. The packed ones take n elements two at a time; n is even.

#include <cuda_bf16.h>
#include <cuda_fp16.h>

extern "C" __global__ void half_arithmetic(const __half *x, const __half *y, __half *out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const __half a = x[i], b = y[i];
  out[0 * n + i] = __hadd(a, b);
  out[1 * n + i] = __hsub(a, b);
  out[2 * n + i] = __hmul(a, b);
  out[3 * n + i] = __hfma(a, b, a);
  out[4 * n + i] = __hmax(a, b);
  out[5 * n + i] = __hneg(a);
  out[6 * n + i] = __hlt(a, b) ? a : b;
  out[7 * n + i] = __float2half(__half2float(a) / 3.0f);
  out[8 * n + i] = __int2half_rn(__half2int_rz(a));
}

extern "C" __global__ void half2_arithmetic(const __half2 *x, const __half2 *y, __half2 *out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const int pairs = n / 2;
  if (i >= pairs) return;
  const __half2 a = x[i], b = y[i];
  out[0 * pairs + i] = __hadd2(a, b);
  out[1 * pairs + i] = __hmul2(a, b);
  out[2 * pairs + i] = __hfma2(a, b, b);
  out[3 * pairs + i] = __hmin2(a, b);
  out[4 * pairs + i] = __lowhigh2highlow(a);
  const float2 wide = __half22float2(a);
  out[5 * pairs + i] = __floats2half2_rn(wide.x * 1.5f, wide.y * 0.1f);
}

extern "C" __global__ void bfloat_arithmetic(const __nv_bfloat16 *x, const __nv_bfloat16 *y, __nv_bfloat16 *out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const __nv_bfloat16 a = x[i], b = y[i];
  out[0 * n + i] = __hadd(a, b);
  out[1 * n + i] = __hsub(a, b);
  out[2 * n + i] = __hmul(a, b);
  out[3 * n + i] = __hfma(a, b, a);
  out[4 * n + i] = __hmax(a, b);
  out[5 * n + i] = __float2bfloat16(__bfloat162float(a) / 3.0f);
}

extern "C" __global__ void bfloat2_arithmetic(const __nv_bfloat162 *x, const __nv_bfloat162 *y, __nv_bfloat162 *out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const int pairs = n / 2;
  if (i >= pairs) return;
  const __nv_bfloat162 a = x[i], b = y[i];
  out[0 * pairs + i] = __hadd2(a, b);
  out[1 * pairs + i] = __hmul2(a, b);
  out[2 * pairs + i] = __hfma2(a, b, b);
  const float2 wide = __bfloat1622float2(a);
  out[3 * pairs + i] = __floats2bfloat162_rn(wide.x * 1.5f, wide.y * 0.1f);
}
