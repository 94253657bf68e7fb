#include "kernels/t5_layout.h"

#include <cstring>

namespace bitnet::t5 {

size_t packed_bytes(size_t rows, size_t columns) {
  return round_up(rows, kRowTile) / kGroupRows * group_bytes(columns);
}

void pack(const uint8_t* codes, size_t row_begin, size_t count, size_t rows, size_t columns, uint8_t* packed) {
  const size_t block_count = blocks(columns), full_blocks = columns / kBlockColumns;
  const size_t row_end = row_begin + count;
  const size_t padded_end = row_end == rows ? round_up(row_end, kRowTile) : row_end;
  for (size_t row = row_begin; row < padded_end; row++) {
    uint8_t* out = packed + row / kGroupRows * group_bytes(columns) + row % kGroupRows * kBlockBytes;
    const uint8_t* in = codes + (row - row_begin) * columns;
    for (size_t b = 0; b < block_count; b++, out += kGroupRows * kBlockBytes) {
      if (row >= row_end) {
        std::memset(out, 0, kBlockBytes);
        continue;
      }
      uint8_t padded[kBlockColumns];
      const uint8_t* c = in + b * kBlockColumns;
      if (b >= full_blocks) {
        std::memset(padded, 0, sizeof padded);
        std::memcpy(padded, c, columns - b * kBlockColumns);
        c = padded;
      }
      for (size_t j = 0; j < kBlockBytes; j++) {
        out[j] = static_cast<uint8_t>(c[j] + 3 * c[64 + j] + 9 * c[128 + j] + 28 * c[192 + j] + 84 * c[256 + j]);
      }
    }
  }
}

}  // namespace bitnet::t5
