// Thread i of the grid writes down who it is: block[i], thread[i], warp[i], lane[i], arrays of n int.
//
// Thread i is found by counting: all threads of the blocks before mine, then those before me in my block.
// The hardware runs threads in warps of 32; warps are counted inside their block, lanes inside their warp.

extern "C" __global__ void who_am_i(int *block, int *thread, int *warp, int *lane, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) {  // the last block may reach past the arrays
    block[i] = blockIdx.x;
    thread[i] = threadIdx.x;
    warp[i] = threadIdx.x / warpSize;
    lane[i] = threadIdx.x % warpSize;
  }
}
