// Lesson 2: fill in the blanks, then run  make check-lesson2

#include <cuda_fp16.h>
using scalar = SCALAR;  // float or __half: the checker compiles this file once for each

// ---------------------------------------------------------------------------------------------------------------------
// 1. vector_add. One element a thread. a, b, c: n of scalar. In NumPy:
//
//      c = a + b
//
//    Neighbouring threads should touch neighbouring elements.

extern "C" __global__ void vector_add(const scalar *a, const scalar *b, scalar *c, int n) {
  // >>> plain: your code here, about 4 lines

  // <<< plain
}

// ---------------------------------------------------------------------------------------------------------------------
// 2. vector_add_vectorised. The same sum, 16 bytes a thread. In NumPy, with first = WIDTH * (index of the thread):
//
//      if first + WIDTH <= n:
//          c[first:first + WIDTH] = a[first:first + WIDTH] + b[first:first + WIDTH]     # one access for each of a, b, c
//      else:
//          c[first:] = a[first:] + b[first:]                                            # one by one
//
//    Reading through a pointer to Pack moves all 16 bytes in one instruction:
//      const Pack x = *reinterpret_cast<const Pack *>(a + first);
//    The launcher makes sure that a, b and c start at a multiple of 16 bytes.

constexpr int WIDTH = 16 / sizeof(scalar);  // 4 float, 8 __half

struct alignas(16) Pack {
  scalar element[WIDTH];
};

extern "C" __global__ void vector_add_vectorised(const scalar *a, const scalar *b, scalar *c, int n) {
  // >>> vectorised: your code here, about 10 lines

  // <<< vectorised
}
