// ldmatrix in all its sizes, and what cp.async writes for it: each warp copies its part of `in`, 32 rows of 8 halves for each
// matrix a lane is to get, to shared memory, rows STRIDE bytes apart, COPY bytes at a time; loads the matrices; and stores
// them as they lie in its registers. in, out: (warps, 4, 8, 8) __half, of which COUNT matrices of each warp are used.

#include <cuda_fp16.h>

extern "C" __global__ void matrices(const __half *in, unsigned *out) {
  extern __shared__ __align__(128) unsigned char memory[];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const unsigned start = static_cast<unsigned>(__cvta_generic_to_shared(memory)) + warp * 32 * STRIDE;
  const char *from = reinterpret_cast<const char *>(in + (blockIdx.x * blockDim.x + warp * 32) * 8);
  for (int at = lane * COPY; at < COUNT * 8 * 16; at += 32 * COPY) {  // bytes of the matrices, row by row
    const unsigned to = start + at / 16 * STRIDE + at % 16;
#if COPY == 16
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" :: "r"(to), "l"(from + at) : "memory");
#else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" :: "r"(to), "l"(from + at), "n"(COPY) : "memory");
#endif
  }
  asm volatile("cp.async.wait_all;" ::: "memory");
  __syncwarp();
  const unsigned row = start + lane % (8 * COUNT) * STRIDE;
  unsigned r[4] = {};
#if COUNT == 1
  asm volatile("ldmatrix.sync.aligned.m8n8.x1" TRANS ".shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(row) : "memory");
#elif COUNT == 2
  asm volatile("ldmatrix.sync.aligned.m8n8.x2" TRANS ".shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1]) : "r"(row) : "memory");
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4" TRANS ".shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(row) : "memory");
#endif
  for (int at = 0; at < COUNT; ++at) out[(blockIdx.x * blockDim.x + warp * 32) * 4 + at * 32 + lane] = r[at];
}
