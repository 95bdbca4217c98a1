// Cooperative groups. x: n float, out: n float.

#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
namespace cg = cooperative_groups;

// total[0] = the sum of x, by one block.
extern "C" __global__ void sum_of_groups(const float *x, float *total, int n) {
  __shared__ float sums[32];
  const cg::thread_block block = cg::this_thread_block();
  const auto warp = cg::tiled_partition<32>(block);
  float sum = 0.0f;
  for (int i = block.thread_rank(); i < n; i += block.size()) sum += x[i];
  sum = cg::reduce(warp, sum, cg::plus<float>());
  if (warp.thread_rank() == 0) sums[warp.meta_group_rank()] = sum;
  block.sync();
  if (warp.meta_group_rank() == 0) {
    sum = warp.thread_rank() < warp.meta_group_size() ? sums[warp.thread_rank()] : 0.0f;
    sum = cg::reduce(warp, sum, cg::plus<float>());
    if (warp.thread_rank() == 0) *total = sum;
  }
}

// Collects the positive ones of x in out, in any order; count[0] = how many. The lanes that have one take places together.
extern "C" __global__ void collect_positive(const float *x, float *out, int *count, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n && x[i] > 0.0f) {
    const auto lanes = cg::coalesced_threads();
    int first = 0;
    if (lanes.thread_rank() == 0) first = atomicAdd(count, lanes.size());
    first = lanes.shfl(first, 0);
    out[first + lanes.thread_rank()] = x[i];
  }
}
