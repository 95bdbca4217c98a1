// Attention on tensor cores: q, k, v, o of (heads, n, D) in bfloat16, lse (heads, n). A block of four warps computes ROWS rows
// of o, each warp ROWS / 4 of them, and walks over k and v in tiles of KEYS rows. Two tiles are in flight: cp.async brings the
// next one while this one is multiplied. Rows of a tile are split into chunks of 16 bytes, whose place is turned by the row's
// number if SWIZZLE is 1, so that ldmatrix meets no bank twice.

#include <cuda_bf16.h>

constexpr int WARPS = 4;
constexpr int BANDS = ROWS / WARPS / 16;  // of 16 rows, of each warp
constexpr int CHUNKS = D / 8;             // in a row

__device__ unsigned place(const __nv_bfloat16 *tile, int row, int chunk) {
  const int turned = SWIZZLE ? chunk ^ row % 8 : chunk;
  return static_cast<unsigned>(__cvta_generic_to_shared(tile + row * D + turned * 8));
}

__device__ void load_4(unsigned (&r)[4], unsigned from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(from) : "memory");
}

__device__ void load_4_transposed(unsigned (&r)[4], unsigned from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(from) : "memory");
}

__device__ void multiply_add(float (&c)[4], const unsigned (&a)[4], unsigned b_0, unsigned b_1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b_0), "r"(b_1));
}

__device__ float power_of_2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

__device__ unsigned packed(float low, float high) {
  unsigned both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
}

__device__ void fetch(__nv_bfloat16 *tile, const __nv_bfloat16 *from, int rows, int first, int n) {
  for (int at = threadIdx.x; at < rows * CHUNKS; at += WARPS * 32) {
    const int row = at / CHUNKS, chunk = at % CHUNKS;
    const int bytes = first + row < n ? 16 : 0;  // zeros behind the end
    const __nv_bfloat16 *source = from + (bytes ? (first + row) * D + chunk * 8 : 0);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" :: "r"(place(tile, row, chunk)), "l"(source), "r"(bytes));
  }
}

__device__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

extern "C" __global__ void __launch_bounds__(WARPS * 32) flash_mma(const __nv_bfloat16 *q, const __nv_bfloat16 *k,
    const __nv_bfloat16 *v, __nv_bfloat16 *o, float *lse, int n, float scale, int causal) {
  extern __shared__ __align__(128) __nv_bfloat16 memory[];
  __nv_bfloat16 *const q_tile = memory, *const k_tile = q_tile + ROWS * D, *const v_tile = k_tile + 2 * KEYS * D;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int first = blockIdx.x * ROWS, mine = warp * BANDS * 16;
  const long long head = blockIdx.y * static_cast<long long>(n) * D;
  const float scale_2 = scale * 1.44269504f;  // powers of 2 are faster

  fetch(q_tile, q + head, ROWS, first, n);
  fetch(k_tile, k + head, KEYS, 0, n);
  commit();
  fetch(v_tile, v + head, KEYS, 0, n);
  commit();

  float out[BANDS][D / 8][4] = {}, largest[BANDS][2], sum[BANDS][2] = {};
  for (int band = 0; band < BANDS; ++band) largest[band][0] = largest[band][1] = -1e30f;
  const int end = causal ? min(n, first + ROWS) : n;

  for (int start = 0, buffer = 0; start < end; start += KEYS, buffer ^= 1) {
    const __nv_bfloat16 *const k_now = k_tile + buffer * KEYS * D, *const v_now = v_tile + buffer * KEYS * D;
    asm volatile("cp.async.wait_group 1;" ::: "memory");  // k has come; v may be under way
    __syncthreads();
    fetch(k_tile + (buffer ^ 1) * KEYS * D, k + head, KEYS, start + KEYS, n);
    commit();

    float scores[BANDS][KEYS / 8][4] = {};
    for (int depth = 0; depth < CHUNKS; depth += 2) {
      unsigned a[BANDS][4];
      for (int band = 0; band < BANDS; ++band) {
        load_4(a[band], place(q_tile, mine + band * 16 + lane % 16, depth + lane / 16));
      }
      for (int key = 0; key < KEYS; key += 16) {
        unsigned b[4];
        load_4(b, place(k_now, key + lane % 8 + lane / 16 * 8, depth + lane / 8 % 2));
        for (int band = 0; band < BANDS; ++band) {
          multiply_add(scores[band][key / 8], a[band], b[0], b[1]);
          multiply_add(scores[band][key / 8 + 1], a[band], b[2], b[3]);
        }
      }
    }

    unsigned weights[BANDS][KEYS / 8][2];
    for (int band = 0; band < BANDS; ++band) {
      for (int half = 0; half < 2; ++half) {
        const int row = first + mine + band * 16 + half * 8 + lane / 4;
        float most = largest[band][half];
        for (int j = 0; j < KEYS / 8; ++j) {
          for (int i = 0; i < 2; ++i) {
            float &score = scores[band][j][half * 2 + i];
            const int key = start + j * 8 + lane % 4 * 2 + i;
            score = key < n && (!causal || key <= row) ? score * scale_2 : -1e30f;
            most = fmaxf(most, score);
          }
        }
        most = fmaxf(most, __shfl_xor_sync(0xffffffff, most, 1));
        most = fmaxf(most, __shfl_xor_sync(0xffffffff, most, 2));
        const float keep = power_of_2(largest[band][half] - most);
        largest[band][half] = most;
        sum[band][half] *= keep;
        for (int j = 0; j < D / 8; ++j) {
          out[band][j][half * 2] *= keep;
          out[band][j][half * 2 + 1] *= keep;
        }
        for (int j = 0; j < KEYS / 8; ++j) {
          const float low = power_of_2(scores[band][j][half * 2] - most), high = power_of_2(scores[band][j][half * 2 + 1] - most);
          sum[band][half] += low + high;
          weights[band][j][half] = packed(low, high);
        }
      }
    }

    asm volatile("cp.async.wait_group 1;" ::: "memory");  // v has come; the next k may be under way
    __syncthreads();
    fetch(v_tile + (buffer ^ 1) * KEYS * D, v + head, KEYS, start + KEYS, n);
    commit();
    for (int key = 0; key < KEYS; key += 16) {
      for (int column = 0; column < CHUNKS; column += 2) {
        unsigned b[4];
        load_4_transposed(b, place(v_now, key + lane % 16, column + lane / 16));
        for (int band = 0; band < BANDS; ++band) {
          const unsigned a[4] = {weights[band][key / 8][0], weights[band][key / 8][1], weights[band][key / 8 + 1][0],
                                 weights[band][key / 8 + 1][1]};
          multiply_add(out[band][column], a, b[0], b[1]);
          multiply_add(out[band][column + 1], a, b[2], b[3]);
        }
      }
    }
  }
  asm volatile("cp.async.wait_group 0;" ::: "memory");

  for (int band = 0; band < BANDS; ++band) {
    for (int half = 0; half < 2; ++half) {
      float all = sum[band][half];
      all += __shfl_xor_sync(0xffffffff, all, 1);
      all += __shfl_xor_sync(0xffffffff, all, 2);
      const int row = first + mine + band * 16 + half * 8 + lane / 4;
      if (row >= n) continue;
      if (lane % 4 == 0) lse[blockIdx.y * n + row] = (largest[band][half] + log2f(all)) * 0.69314718f;
      for (int j = 0; j < D / 8; ++j) {
        const float low = out[band][j][half * 2] / all, high = out[band][j][half * 2 + 1] / all;
        *reinterpret_cast<unsigned *>(&o[head + row * D + j * 8 + lane % 4 * 2]) = packed(low, high);
      }
    }
  }
}
