// out[z][y][x] = 10000 z + 100 y + x. out: (depth, height, width) int. Blocks and grid have three directions.

extern "C" __global__ void volume(int *out, int width, int height, int depth) {
  const int x = blockIdx.x * blockDim.x + threadIdx.x;
  const int y = blockIdx.y * blockDim.y + threadIdx.y;
  const int z = blockIdx.z * blockDim.z + threadIdx.z;
  if (x < width && y < height && z < depth) {
    out[(z * height + y) * width + x] = 10000 * z + 100 * y + x;
  }
}
