// Sorts each COUNT neighbours of x, in place. x: whole blocks of COUNT int.

constexpr int COUNT = 128;

extern "C" __global__ void bitonic_sort(int *x) {
  __shared__ int values[COUNT];
  const int t = threadIdx.x;
  values[t] = x[blockIdx.x * COUNT + t];
  __syncthreads();
  for (int width = 2; width <= COUNT; width *= 2) {
    for (int distance = width / 2; distance > 0; distance /= 2) {
      const int partner = t ^ distance;
      if (partner > t) {  // the lower one of each pair puts both in order
        const bool rising = (t & width) == 0;
        const int mine = values[t], other = values[partner];
        if ((mine > other) == rising) {
          values[t] = other;
          values[partner] = mine;
        }
      }
      __syncthreads();
    }
  }
  x[blockIdx.x * COUNT + t] = values[t];
}
