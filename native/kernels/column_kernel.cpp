#include "kernels/column_kernel.h"

#include <cstring>
#include <vector>

#include "aligned_buffer.h"

namespace bitnet {

size_t columns::packed_bytes(size_t rows, size_t columns) {
  return round_up(rows, kColumnBlockRows) / kColumnBlockRows * 64 * columns;
}

void columns::pack(const uint8_t* codes, size_t row_begin, size_t count, size_t rows, size_t columns, uint8_t* packed) {
  const size_t blocks = round_up(rows, kColumnBlockRows) / kColumnBlockRows;
  // 64 columns at a time: what they read and write then stays in L1 and L2.
  for (size_t at = 0; at < count; at += kColumnBlockRows) {
    const size_t in_block = count - at < kColumnBlockRows ? count - at : kColumnBlockRows;
    const size_t block = (row_begin + at) / kColumnBlockRows;
    for (size_t k0 = 0; k0 < columns; k0 += 64) {
      const size_t width = columns - k0 < 64 ? columns - k0 : 64;
      uint8_t tile[64][64] = {};
      for (size_t r = 0; r < in_block; r++) {
        const uint8_t* in = codes + (at + r) * columns + k0;
        const int shift = static_cast<int>(r / 64 * 2);
        for (size_t k = 0; k < width; k++) tile[r % 64][k] |= static_cast<uint8_t>(in[k] << shift);
      }
      for (size_t k = 0; k < width; k++) {
        uint8_t* out = packed + ((k0 + k) * blocks + block) * 64;
        for (size_t j = 0; j < 64; j++) out[j] = tile[j][k];
      }
    }
  }
}

const ColumnKernel* column_kernel_for(const TernaryKernel& kernel) {
#if defined(BITNET_HAVE_AVX512)
  if (!std::strncmp(kernel.isa, "avx512", 6) || !std::strncmp(kernel.isa, "amx", 3)) return &kAvx512Columns;
#endif
#if defined(BITNET_HAVE_AVX2)
  if (!std::strncmp(kernel.isa, "avx", 3)) return &kAvx2Columns;
#endif
  if (!std::strcmp(kernel.isa, "scalar")) return &kScalarColumns;
  return nullptr;
}

std::string compare_columns(const ColumnKernel& kernel, size_t rows, size_t columns, unsigned nonzero_percent, int extreme) {
  uint64_t state = 0x9e3779b97f4a7c15ull ^ (rows * 31 + columns * 7 + nonzero_percent);
  auto next = [&state] {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return static_cast<uint32_t>((state * 0x2545f4914f6cdd1dull) >> 32);
  };
  std::vector<uint8_t> codes(rows * columns);
  for (auto& c : codes) c = extreme ? 2 : static_cast<uint8_t>(next() % 3);
  AlignedBuffer<uint8_t> packed(columns::packed_bytes(rows, columns));
  const size_t half = rows > kColumnBlockRows ? kColumnBlockRows : rows;
  columns::pack(codes.data(), 0, half, rows, columns, packed.data());
  if (half < rows) columns::pack(codes.data() + half * columns, half, rows - half, rows, columns, packed.data());
  std::vector<int8_t> x(columns + 64);
  for (size_t k = 0; k < columns; k++) {
    if (next() % 100 >= nonzero_percent) continue;
    x[k] = extreme ? static_cast<int8_t>(extreme) : static_cast<int8_t>(next() & 0xff);
  }
  std::vector<int32_t> ids(columns + 64);
  const size_t count = kernel.nonzero(x.data(), columns, ids.data());
  const size_t blocks = round_up(rows, kColumnBlockRows) / kColumnBlockRows;
  std::vector<int32_t> y(blocks * kColumnBlockRows, 0x5a5a5a5a);
  kernel.gemv(packed.data(), rows, x.data(), ids.data(), count, y.data(), 0, blocks / 2);
  kernel.gemv(packed.data(), rows, x.data(), ids.data(), count, y.data(), blocks / 2, blocks);
  for (size_t r = 0; r < rows; r++) {
    int32_t sum = 0;
    for (size_t k = 0; k < columns; k++) sum += (codes[r * columns + k] - 1) * x[k];
    if (sum != y[r]) {
      return std::string(kernel.name) + " differs from the reference: " + std::to_string(rows) + "x" + std::to_string(columns) +
             ", " + std::to_string(nonzero_percent) + " % non-zero, row " + std::to_string(r) + ": " + std::to_string(y[r]) +
             " instead of " + std::to_string(sum);
    }
  }
  return "";
}

}  // namespace bitnet
