// out = each group of COUNT neighbours of x, sorted. x, out: n int. A thread a group, in an array of its own; as its index
// is only known at run time, the array lies in local memory.

constexpr int COUNT = 6;

extern "C" __global__ void sort_groups(const int *x, int *out, int n) {
  const int first = (blockIdx.x * blockDim.x + threadIdx.x) * COUNT;
  if (first >= n) return;
  const int count = min(COUNT, n - first);
  int sorted[COUNT];
#pragma unroll 1
  for (int k = 0; k < count; ++k) {
    const int value = x[first + k];
    int place = k;
    while (place > 0 && sorted[place - 1] > value) {
      sorted[place] = sorted[place - 1];
      --place;
    }
    sorted[place] = value;
  }
#pragma unroll 1
  for (int k = 0; k < count; ++k) out[first + k] = sorted[k];
}
