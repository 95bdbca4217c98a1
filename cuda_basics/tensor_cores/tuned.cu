// C = A B on tensor cores, tuned. A: (M, K), B: (K, N), C: (M, N) of SCALAR, row after row; the sums are float. K is a
// multiple of 8. ALIGNED, named by the launcher: 1 if N is one, too. STAGES: pairs of tiles in shared memory, 2 or 3.
//
// New: a wider tile, with eight warps; two sets of fragments, so that ldmatrix is ahead of mma; blocks in groups, whose
// tiles share rows of A and columns of B in L2; addresses of copies computed once; 16-byte stores.
//
// Predicted: some 62 % of cuBLAS on an H100, as mma.sync of wgmma; less what barriers cost. Measured: 453, 62 %.

#include "cuda_basics/tensor_cores/edges.cuh"

constexpr int TILE_M = 128, TILE_N = 256, TILE_K = 64;
constexpr int WARP_M = 64, WARP_N = 64;                              // a warp's part of the tile
constexpr int THREADS = TILE_M / WARP_M * (TILE_N / WARP_N) * 32;
constexpr int A_WIDTH = TILE_K / 8, B_WIDTH = TILE_N / 8;            // chunks in a row of the tiles
constexpr int GROUP = 8;                                             // tiles below each other that are computed together
constexpr int STAGE = TILE_M * A_WIDTH + TILE_K * B_WIDTH;           // chunks in a pair of tiles

extern "C" __global__ void __launch_bounds__(THREADS) matmul_tuned(const scalar *A, const scalar *B, scalar *C, int M, int N, int K) {
  extern __shared__ Chunk tiles[];  // STAGES times a tile of A and one of B
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
  // Blocks start in order of their number: the next GROUP of them go down, then one tile to the right.
  const int number = blockIdx.y * gridDim.x + blockIdx.x, group = number / (GROUP * gridDim.x), in_group = number % (GROUP * gridDim.x);
  const int high = min(GROUP, gridDim.y - group * GROUP);  // the last group may be lower
  const int first_row = (group * GROUP + in_group % high) * TILE_M, first_column = in_group / high * TILE_N;
  const int y = warp / (TILE_N / WARP_N) * WARP_M, x = warp % (TILE_N / WARP_N) * WARP_N;  // the warp's part
  float sum[WARP_M / 16][WARP_N / 8][4] = {};

  // This thread's chunks: the same column of the tiles each time, A_STEP and B_STEP rows apart. As these are multiples
  // of 8, the swizzle is the same for all of them, and what is left to compute for each is an addition.
  constexpr int A_STEP = THREADS / A_WIDTH, B_STEP = THREADS / B_WIDTH;
  const int A_row = thread / A_WIDTH, A_chunk = thread % A_WIDTH, B_row = thread / B_WIDTH, B_chunk = thread % B_WIDTH;
  const scalar *A_from = A + size_t(first_row + A_row) * K + A_chunk * 8;
  const scalar *B_from = B + size_t(B_row) * N + first_column + B_chunk * 8;
  const uint32_t A_to = shared_address(tiles + swizzled<A_WIDTH>(A_row, A_chunk));
  const uint32_t B_to = shared_address(tiles + TILE_M * A_WIDTH + swizzled<B_WIDTH>(B_row, B_chunk));

  auto next = [](int stage) { return stage + 1 < STAGES ? stage + 1 : 0; };
  auto previous = [](int stage) { return stage > 0 ? stage - 1 : STAGES - 1; };

  auto fetch = [&](int start, int stage) {
    const int A_rows = start + A_chunk * 8 < K ? M - first_row - A_row : 0;  // that exist, from this thread's first one on
    for (int i = 0; i < TILE_M; i += A_STEP) {
      copy_async_16(A_to + 16 * (stage * STAGE + i * A_WIDTH), A_from + i * K, i < A_rows);
    }
    const int B_rows = first_column + B_chunk * 8 < N ? K - start - B_row : 0;
    for (int i = 0; i < TILE_K; i += B_STEP) {
      if (ALIGNED) {
        copy_async_16(B_to + 16 * (stage * STAGE + i * B_WIDTH), B_from + i * N, i < B_rows);
      } else {
        tiles[stage * STAGE + TILE_M * A_WIDTH + swizzled<B_WIDTH>(B_row + i, B_chunk)] =
            load_chunk<false>(B, start + B_row + i, first_column + B_chunk * 8, K, N);
      }
    }
    A_from += TILE_K;
    B_from += size_t(TILE_K) * N;
  };

  uint32_t a[2][WARP_M / 16][4], b[2][WARP_N / 16][4];  // one set of fragments is multiplied, the other is loaded
  auto load = [&](int stage, int k) {
    const Chunk *A_tile = tiles + stage * STAGE, *B_tile = A_tile + TILE_M * A_WIDTH;
    for (int i = 0; i < WARP_M / 16; ++i) {
      const int row = y + 16 * i + lane % 16, chunk = k / 8 + lane / 16;
      ldmatrix_x4(a[k / 16 % 2][i], shared_address(&A_tile[swizzled<A_WIDTH>(row, chunk)]));
    }
    for (int j = 0; j < WARP_N / 16; ++j) {
      const int row = k + lane % 16, chunk = x / 8 + 2 * j + lane / 16;
      ldmatrix_x4_transposed(b[k / 16 % 2][j], shared_address(&B_tile[swizzled<B_WIDTH>(row, chunk)]));
    }
  };

  auto multiply = [&](int set) {
    for (int i = 0; i < WARP_M / 16; ++i) {
      for (int j = 0; j < WARP_N / 8; ++j) {
        mma<scalar>(sum[i][j], a[set][i], b[set][j / 2][j % 2 * 2], b[set][j / 2][j % 2 * 2 + 1]);
      }
    }
  };

  for (int stage = 0; stage < STAGES - 1; ++stage) {
    if (stage * TILE_K < K) fetch(stage * TILE_K, stage);
    end_copy_group();
  }
  wait_copy_groups<STAGES - 2>();
  __syncthreads();
  load(0, 0);
  for (int start = 0, stage = 0; start < K; start += TILE_K, stage = next(stage)) {
#pragma unroll
    for (int k = 0; k < TILE_K; k += 16) {
      if (k == 0) {
        const int ahead = start + (STAGES - 1) * TILE_K;
        if (ahead < K) fetch(ahead, previous(stage));
        end_copy_group();  // also where there was nothing to fetch: the wait counts groups
      }
      if (k + 16 < TILE_K) {
        load(stage, k + 16);
      } else {
        wait_copy_groups<STAGES - 2>();  // this thread's part of the next pair has come,
        __syncthreads();                 // and everybody's; and this pair has been read by all: its place is free
        load(start + TILE_K < K ? next(stage) : stage, 0);  // after the last pair nobody uses it
      }
      multiply(k / 16 % 2);
    }
  }

  // Two elements a lane make 4-byte stores. Through shared memory, 16 rows of a warp's part at a time, they become
  // chunks.
  __syncthreads();  // the tiles have been read by all
  constexpr int WIDTH = WARP_N / 8;
  Chunk *patch = tiles + warp * 16 * WIDTH;
#pragma unroll
  for (int i = 0; i < WARP_M / 16; ++i) {
    for (int j = 0; j < WIDTH; ++j) {
      uint32_t *upper = reinterpret_cast<uint32_t *>(&patch[swizzled<WIDTH>(lane / 4, j)]);
      uint32_t *lower = reinterpret_cast<uint32_t *>(&patch[swizzled<WIDTH>(lane / 4 + 8, j)]);
      upper[lane % 4] = pack<scalar>(sum[i][j][0], sum[i][j][1]);
      lower[lane % 4] = pack<scalar>(sum[i][j][2], sum[i][j][3]);
    }
    __syncwarp();
    for (int c = 0; c < 16 * WIDTH; c += 32) {
      const int row = (c + lane) / WIDTH, chunk = (c + lane) % WIDTH;
      store_chunk<ALIGNED>(C, patch[swizzled<WIDTH>(row, chunk)], first_row + y + 16 * i + row, first_column + x + chunk * 8, M, N);
    }
    __syncwarp();  // all have read before the next 16 rows come
  }
}
