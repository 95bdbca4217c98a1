// Every thread of the grid runs this function once. Built-in variables tell it which one it is:
//   blockIdx.x   which block of the grid      0 ... gridDim.x - 1
//   threadIdx.x  which thread of the block    0 ... blockDim.x - 1

extern "C" __global__ void hello() {
  printf("hello from thread %d of block %d\n", threadIdx.x, blockIdx.x);
}
