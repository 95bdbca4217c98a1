// C = A B on tensor cores. A: (rows, inner), B: (inner, columns) __half; C: (rows, columns) float. inner and columns are
// multiples of 8. 128 threads compute a tile of 64 x 64: each of four warps 32 x 32, as 2 x 4 products of 16 x 8 x 16.
// While one pair of tiles is multiplied, cp.async brings the next.

#include <cuda_fp16.h>

constexpr int TILE = 64;
constexpr int DEPTH = 32;
constexpr int PAD = 8;   // keeps the eight rows that ldmatrix reads at a time in different banks
constexpr int CHUNK = 8;  // halves in 16 bytes

__device__ unsigned shared_address(const void *pointer) {
  return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}

__device__ void copy_16_bytes(__half *to, const __half *from, bool inside) {  // zeros where it isn't inside
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
               :: "r"(shared_address(to)), "l"(from), "r"(inside ? 16 : 0) : "memory");
}

__device__ void load_4_matrices(unsigned (&r)[4], const __half *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
}

__device__ void load_4_matrices_transposed(unsigned (&r)[4], const __half *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
}

__device__ void multiply_add(float (&c)[4], const unsigned (&a)[4], unsigned b_0, unsigned b_1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b_0), "r"(b_1));
}

extern "C" __global__ void matmul_mma(const __half *A, const __half *B, float *C, int rows, int columns, int inner) {
  __shared__ __align__(16) __half A_tile[2][TILE][DEPTH + PAD];
  __shared__ __align__(16) __half B_tile[2][DEPTH][TILE + PAD];
  const int row_0 = blockIdx.y * TILE, column_0 = blockIdx.x * TILE;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int warp_row = warp / 2 * 32, warp_column = warp % 2 * 32;
  float sum[2][4][4] = {};

  auto fetch = [&](int start, int buffer) {
    for (int chunk = threadIdx.x; chunk < TILE * DEPTH / CHUNK; chunk += blockDim.x) {
      const int y = chunk / (DEPTH / CHUNK), x = chunk % (DEPTH / CHUNK) * CHUNK;
      const bool inside = row_0 + y < rows && start + x < inner;
      copy_16_bytes(&A_tile[buffer][y][x], inside ? &A[(row_0 + y) * inner + start + x] : A, inside);
    }
    for (int chunk = threadIdx.x; chunk < DEPTH * TILE / CHUNK; chunk += blockDim.x) {
      const int y = chunk / (TILE / CHUNK), x = chunk % (TILE / CHUNK) * CHUNK;
      const bool inside = start + y < inner && column_0 + x < columns;
      copy_16_bytes(&B_tile[buffer][y][x], inside ? &B[(start + y) * columns + column_0 + x] : B, inside);
    }
    asm volatile("cp.async.commit_group;" ::: "memory");
  };

  fetch(0, 0);
  for (int start = 0; start < inner; start += DEPTH) {
    const int buffer = start / DEPTH % 2;
    if (start + DEPTH < inner) {
      fetch(start + DEPTH, 1 - buffer);
      asm volatile("cp.async.wait_group 1;" ::: "memory");  // this tile has come, the next is on its way
    } else {
      asm volatile("cp.async.wait_group 0;" ::: "memory");
    }
    __syncthreads();  // what the others have fetched has come, too
    for (int k = 0; k < DEPTH; k += 16) {
      unsigned a[2][4], b[2][4];
      for (int i = 0; i < 2; ++i) {
        load_4_matrices(a[i], &A_tile[buffer][warp_row + i * 16 + lane % 16][k + lane / 16 * 8]);
        load_4_matrices_transposed(b[i], &B_tile[buffer][k + lane % 16][warp_column + i * 16 + lane / 16 * 8]);
      }
      for (int i = 0; i < 2; ++i) {
        for (int j = 0; j < 4; ++j) {
          multiply_add(sum[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
        }
      }
    }
    __syncthreads();  // before the buffer is filled again
  }

  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 4; ++j) {
      const int column = column_0 + warp_column + j * 8 + lane % 4 * 2;
      for (int half = 0; half < 2; ++half) {
        const int row = row_0 + warp_row + i * 16 + half * 8 + lane / 4;
        if (row < rows && column < columns) {
          C[row * columns + column] = sum[i][j][half * 2];
          C[row * columns + column + 1] = sum[i][j][half * 2 + 1];
        }
      }
    }
  }
}
