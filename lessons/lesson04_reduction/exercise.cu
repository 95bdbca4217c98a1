// Lesson 4: fill in the blanks, then run  make check-lesson4
//
// All kernels reduce x, n float: each block makes one value of its elements, partial[blockIdx.x], and the launcher
// launches the kernel again on these until one is left. Blocks have THREADS threads, a power of two that the checker
// defines. It compiles this file twice: with MAXIMUM 0 for the sum, and with MAXIMUM 1 for blank 2.

#if MAXIMUM

// ---------------------------------------------------------------------------------------------------------------------
// 2. combine and IDENTITY for the maximum, as below for the sum. (The checker uses your tree, so do that one first.)
//    In NumPy:  np.maximum(a, b), which is NaN where a or b is
//    IDENTITY is the value that changes nothing: combine(a, IDENTITY) == a for every a.

// >>> combine: your code here, about 4 lines

// <<< combine

#else

__device__ float combine(float a, float b) { return a + b; }
#define IDENTITY 0.0f

#endif

// ---------------------------------------------------------------------------------------------------------------------
// 1. reduce_sequential. A tree in shared memory. In NumPy, for the block with number b:
//
//      values = x[b * THREADS : (b + 1) * THREADS]           # one a thread; IDENTITY where x has ended
//      while len(values) > 1:
//          first, second = np.split(values, 2)
//          values = combine(first, second)                   # by the first half of the threads
//      partial[b] = values[0]

extern "C" __global__ void reduce_sequential(const float *x, float *partial, int n) {
  __shared__ float values[THREADS];
  // >>> sequential: your code here, about 11 lines

  // <<< sequential
}

// ---------------------------------------------------------------------------------------------------------------------
// 3. reduce_warp_shuffle. Two elements a thread, and the tree in registers. In NumPy, for block b:
//
//      mine = x[b * 2 * THREADS : (b + 1) * 2 * THREADS]     # IDENTITY where x has ended
//      mine = combine(mine[:THREADS], mine[THREADS:])        # one a thread
//      values = mine.reshape(THREADS // 32, 32) combined along each row     # each warp with __shfl_down_sync
//      partial[b] = values combined                                         # by the first warp, likewise
//
//    __shfl_down_sync(0xffffffff, value, distance) gives each lane the value of the lane `distance` above it. All 32
//    lanes must call it. You need its five rounds twice here and twice in 4, so write them as a __device__ function:
//
//      __device__ float combine_warp(float value) { ... }    // lane 0 gets the value of the whole warp

extern "C" __global__ void reduce_warp_shuffle(const float *x, float *partial, int n) {
  // >>> warp_shuffle: your code here, about 13 lines, and 5 for the function above the kernel

  // <<< warp_shuffle
}

// ---------------------------------------------------------------------------------------------------------------------
// 4. reduce_grid_stride. The same trees, but each thread first walks through x. In NumPy, for thread i of the grid, which
//    has gridDim.x * THREADS threads:
//
//      packs = x[:n // 4 * 4].reshape(-1, 4)
//      value = packs[i :: gridDim.x * THREADS] combined      # one 16-byte load, a float4, for each pack
//      if i < n % 4:
//          value = combine(value, x[n - 1 - i])              # what fills no pack
//
//    and then as in 3, with your function. x starts at a multiple of 16 bytes. (THREADS is 1024 here, and 256 above.)

extern "C" __global__ void reduce_grid_stride(const float *x, float *partial, int n) {
  // >>> grid_stride: your code here, about 17 lines

  // <<< grid_stride
}
