// Updates that can't be torn. x: n int; results: 8 int, total: one double; both start at 0, results[2] at a large number.

__device__ void multiply_atomically(int *target, int factor) {  // modulo 1009, by compare and swap
  int seen = *static_cast<volatile int *>(target), assumed;
  do {
    assumed = seen;
    seen = atomicCAS(target, assumed, (assumed * factor) % 1009);
  } while (seen != assumed);
}

extern "C" __global__ void atomics(const int *x, int *results, double *total, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  atomicAdd(&results[0], x[i]);
  atomicMax(&results[1], x[i]);
  atomicMin(&results[2], x[i]);
  atomicOr(&results[3], x[i]);
  atomicXor(&results[4], x[i]);
  atomicAdd(total, 0.5 * x[i]);
  multiply_atomically(&results[5], x[i] % 1008 + 1);
  const int ticket = atomicAdd(&results[6], 1);
  if (ticket == n - 1) atomicExch(&results[7], ticket);
}
