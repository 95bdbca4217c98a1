// Chunks of 8 elements, 16 bytes, between global memory and tiles in shared memory, with the edges of a matrix minded.
// A matrix is (rows, columns) of SCALAR, row after row. `aligned`: columns is a multiple of 8 and the matrix starts at
// a multiple of 16 bytes. A chunk then lies inside or outside, as a whole, and moves in one instruction. If not, each
// element goes on its own.

#pragma once
#include "cuda_basics/tensor_cores/primitives.cuh"
using scalar = SCALAR;  // __half or __nv_bfloat16, named by the launcher

using Chunk = uint4;  // as it lies in registers and in shared memory

// The chunk at (row, column); zeros outside of the matrix, so that what is multiplied with them adds nothing.
template <bool aligned>
__device__ __forceinline__ Chunk load_chunk(const scalar *matrix, int row, int column, int rows, int columns) {
  Chunk chunk = {};
  if (row < rows && column < columns) {
    const scalar *first = matrix + row * columns + column;
    if constexpr (aligned) {
      chunk = *reinterpret_cast<const Chunk *>(first);
    } else {
      for (int i = 0; i < 8; ++i) {
        if (column + i < columns) reinterpret_cast<scalar *>(&chunk)[i] = first[i];
      }
    }
  }
  return chunk;
}

// The same, straight to shared memory, without waiting where cp.async can do it: it copies 16 aligned bytes or none.
template <bool aligned>
__device__ __forceinline__ void copy_chunk(Chunk *to, const scalar *matrix, int row, int column, int rows, int columns) {
  if constexpr (aligned) {
    const bool inside = row < rows && column < columns;
    copy_async_16(shared_address(to), inside ? matrix + row * columns + column : matrix, inside);
  } else {
    *to = load_chunk<false>(matrix, row, column, rows, columns);
  }
}

// Two neighbouring elements, rounded to scalar, to (row, column) and (row, column + 1), as far as these exist.
template <bool aligned>
__device__ __forceinline__ void store_pair(scalar *matrix, float left, float right, int row, int column, int rows, int columns) {
  if (row < rows && column < columns) {
    scalar *first = matrix + row * columns + column;
    if constexpr (aligned) {
      *reinterpret_cast<uint32_t *>(first) = pack<scalar>(left, right);
    } else {
      first[0] = scalar(left);
      if (column + 1 < columns) first[1] = scalar(right);
    }
  }
}

// A chunk to (row, column) and on, as far as the matrix goes.
template <bool aligned>
__device__ __forceinline__ void store_chunk(scalar *matrix, Chunk chunk, int row, int column, int rows, int columns) {
  if (row < rows && column < columns) {
    scalar *first = matrix + row * columns + column;
    if constexpr (aligned) {
      *reinterpret_cast<Chunk *>(first) = chunk;
    } else {
      for (int i = 0; i < 8; ++i) {
        if (column + i < columns) first[i] = reinterpret_cast<scalar *>(&chunk)[i];
      }
    }
  }
}
