// What the lanes of a warp can do together. x: n int; one row of n results in out for each operation. Lanes beyond n take
// part with 0.

constexpr unsigned ALL = 0xffffffff;

// Through shared memory: everyone reads what the next lane wrote.
extern "C" __global__ void warp_exchange(const int *x, int *out, int n) {
  __shared__ int values[128];
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const int lane = threadIdx.x % 32, first = threadIdx.x - lane;
  values[threadIdx.x] = i < n ? x[i] : 0;
  __syncwarp();
  const int next = values[first + (lane + 1) % 32];
  if (i < n) out[i] = next;
}

extern "C" __global__ void warp_shuffles(const int *x, int *out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const int lane = threadIdx.x % 32;
  const int value = i < n ? x[i] : 0;
  const int from_3 = __shfl_sync(ALL, value, 3);
  const int turned = __shfl_sync(ALL, value, lane + 5);
  const int of_eight = __shfl_sync(ALL, value, 9, 8);
  const int up = __shfl_up_sync(ALL, value, 2);
  const int down = __shfl_down_sync(ALL, value, 3, 16);
  const int crossed = __shfl_xor_sync(ALL, value, 17);
  const long long wide = __shfl_xor_sync(ALL, value * 10000000001LL, 1);
  if (i < n) {
    out[0 * n + i] = from_3;
    out[1 * n + i] = turned;
    out[2 * n + i] = of_eight;
    out[3 * n + i] = up;
    out[4 * n + i] = down;
    out[5 * n + i] = crossed;
    out[6 * n + i] = static_cast<int>(wide >> 16);
  }
}

extern "C" __global__ void warp_votes(const int *x, int *out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const int lane = threadIdx.x % 32;
  const int value = i < n ? x[i] : 0;
  const unsigned odd = __ballot_sync(ALL, value % 2 != 0);
  const int rank = __popc(odd & ((1u << lane) - 1));  // how many odd values stand before
  const int any_large = __any_sync(ALL, value > 90);
  const int all_small = __all_sync(ALL, value < 90);
  int together = 0;
  if (value % 2 != 0) {
    together = __popc(__activemask());
    __syncwarp(odd);
  }
  if (i < n) {
    out[0 * n + i] = odd;
    out[1 * n + i] = rank;
    out[2 * n + i] = any_large;
    out[3 * n + i] = all_small;
    out[4 * n + i] = together;
  }
}

extern "C" __global__ void warp_matches(const int *x, int *out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const int value = i < n ? x[i] % 5 : 0;
  int equal = 0;
  const unsigned same = __match_any_sync(ALL, value);
  const unsigned everybody = __match_all_sync(ALL, value / 8, &equal);
  if (i < n) {
    out[0 * n + i] = same;
    out[1 * n + i] = everybody;
    out[2 * n + i] = equal;
  }
}

extern "C" __global__ void warp_reductions(const int *x, int *out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const int value = i < n ? x[i] : 0;
  const int sum = __reduce_add_sync(ALL, value);
  const int smallest = __reduce_min_sync(ALL, value - 50);
  const int largest = __reduce_max_sync(ALL, value - 50);
  const unsigned bits = __reduce_or_sync(ALL, static_cast<unsigned>(value));
  int half = 0;
  if (threadIdx.x % 32 < 16) half = __reduce_add_sync(0x0000ffff, value);
  if (i < n) {
    out[0 * n + i] = sum;
    out[1 * n + i] = smallest;
    out[2 * n + i] = largest;
    out[3 * n + i] = bits;
    out[4 * n + i] = half;
  }
}
