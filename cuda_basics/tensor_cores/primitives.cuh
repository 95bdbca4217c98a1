// The instructions that feed and drive tensor cores (PTX ISA 9.0, sections given below), one function each.
//
// A warp multiplies 16 x 16 by 16 x 8. Its 32 lanes hold the three matrices together, as fragments: in each lane a few
// 32-bit registers, of two 16-bit elements each in A and B, of one float each in C. With g = lane / 4 and t = lane % 4,
// "2t" standing for the two columns (or rows) 2t and 2t + 1:
//
//   A, 16 x 16: 4 registers                 B, 16 x 8: 2 registers        C, 16 x 8: 4 registers
//
//             column 2t   column 2t + 8               column g                      column 2t   column 2t + 1
//   row g        a[0]        a[2]           row 2t       b[0]             row g        c[0]        c[1]
//   row g + 8    a[1]        a[3]           row 2t + 8   b[1]             row g + 8    c[2]        c[3]
//
// Two things follow. A row of C lies in the four lanes of one g: a row sum takes two shuffles. And the C fragments of
// two neighbouring 16 x 8 tiles, rounded to 16 bits, are the A fragment of one 16 x 16 tile, in the same lanes: a[0]
// and a[1] come from the left tile, a[2] and a[3] from the right one. Attention lives on that.

#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda/std/cstdint>

using uint16_t = cuda::std::uint16_t;
using uint32_t = cuda::std::uint32_t;

// Whether two types are one. (<cuda/std/type_traits> knows too, and takes the compiler a second to read.)
template <typename T, typename U>
constexpr bool same_type = false;
template <typename T>
constexpr bool same_type<T, T> = true;

// 9.7.15.5.14. C += A B, in float. T says what A and B hold: __half or __nv_bfloat16.
template <typename T>
__device__ __forceinline__ void mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  if constexpr (same_type<T, __half>) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
}

// An address in shared memory, as the instructions below take it.
__device__ __forceinline__ uint32_t shared_address(const void *pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// 9.7.15.5.15. Four 8 x 8 matrices of 16-bit elements from shared memory, one a register. Lanes 8i to 8i + 7 give the
// addresses of the 8 rows (16 bytes each) of matrix i. Which lane receives what, in each of the four:
//
//            elements 0, 1    2, 3    4, 5    6, 7
//   row 0            lane 0  lane 1  lane 2  lane 3
//   row 1            lane 4  lane 5  lane 6  lane 7
//   ...
//   row 7            lane 28 lane 29 lane 30 lane 31
//
// What the addresses must be, for
//   A, 16 x 16 at (row, column):            row + lane % 16, column + lane / 16 * 8
//   B from its transpose, 16 x 16 at (n, k): n + lane % 8 + lane / 16 * 8, k + lane / 8 % 2 * 8; r[0], r[1] are the B
//   fragment of the first 8 columns n, r[2], r[3] that of the next 8.
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
}

// The same, each matrix transposed:
//
//             column 0 column 1 ... column 7
//   rows 0, 1   lane 0   lane 4   ... lane 28
//   rows 2, 3   lane 1   lane 5   ... lane 29
//   rows 4, 5   lane 2   lane 6   ... lane 30
//   rows 6, 7   lane 3   lane 7   ... lane 31
//
//   B, 16 x 16 at (k, n):                   k + lane % 16, n + lane / 16 * 8; registers as above.
__device__ __forceinline__ void ldmatrix_x4_transposed(uint32_t (&r)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
}

// 9.7.9.25.3. 16 bytes from global to shared memory, without a register between and without waiting. If not `inside`,
// nothing is read and zeros are written.
__device__ __forceinline__ void copy_async_16(uint32_t to, const void *from, bool inside) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" :: "r"(to), "l"(from), "r"(inside ? 16 : 0) : "memory");
}

// Ends a group: the copies that this thread has started since the last one.
__device__ __forceinline__ void end_copy_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most the newest `open` groups of this thread are still under way. Others' copies need a barrier too.
template <int open>
__device__ __forceinline__ void wait_copy_groups() { asm volatile("cp.async.wait_group %0;" :: "n"(open) : "memory"); }

// Where chunk `chunk` (16 bytes) of row `row` lies in a tile of rows of `width` chunks, a multiple of 8. The eight rows
// of a matrix that ldmatrix reads have their chunks in the same column of the tile; unswizzled, all eight fall into the
// same four banks. XOR with the row deals them out to all 32. The chunks of the first rows, as they lie:
//
//   row 0   0 1 2 3 4 5 6 7
//   row 1   1 0 3 2 5 4 7 6
//   row 2   2 3 0 1 6 7 4 5
//   row 3   3 2 1 0 7 6 5 4
template <int width>
__device__ __forceinline__ int swizzled(int row, int chunk) {
  static_assert(width % 8 == 0, "a row must be a multiple of 128 bytes");
  return row * width + (chunk ^ (row % 8));
}

// Two floats, rounded to T: `low` in the lower half, as the element of the smaller index lies.
template <typename T>
__device__ __forceinline__ uint32_t pack(float low, float high) {
  uint32_t both;
  if constexpr (same_type<T, __half>) {
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  } else {
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  }
  return both;
}

// 9.7.3.21. 2^x, to 2 ulp: one instruction of the special-function unit.
__device__ __forceinline__ float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
