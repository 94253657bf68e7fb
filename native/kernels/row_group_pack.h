// Packing of the layouts that interleave four rows in blocks of 64 bytes (i2s, t5): they differ in how many columns a block
// holds and in how the codes of one byte are combined, and in nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/kernel.h"

namespace bitnet {

constexpr size_t kRowGroupRows = 4;
constexpr size_t kRowGroupBlockBytes = 64;

// TernaryKernel::pack for blocks of BlockColumns columns. encode(c, j) makes byte j of a block from its codes c; columns
// and rows beyond the matrix are stored as code 0 and as zero bytes.
template <size_t BlockColumns, class Encode>
void pack_row_groups(const uint8_t* codes, size_t row_begin, size_t count, size_t rows, size_t columns, uint8_t* packed,
                     Encode&& encode) {
  const size_t blocks = (columns + BlockColumns - 1) / BlockColumns, full_blocks = columns / BlockColumns;
  const size_t group_bytes = blocks * kRowGroupBlockBytes * kRowGroupRows, row_end = row_begin + count;
  const size_t padded_end = row_end == rows ? round_up(row_end, kRowTile) : row_end;
  for (size_t row = row_begin; row < padded_end; row++) {
    uint8_t* out = packed + row / kRowGroupRows * group_bytes + row % kRowGroupRows * kRowGroupBlockBytes;
    const uint8_t* in = codes + (row - row_begin) * columns;
    for (size_t b = 0; b < blocks; b++, out += kRowGroupRows * kRowGroupBlockBytes) {
      if (row >= row_end) {
        std::memset(out, 0, kRowGroupBlockBytes);
        continue;
      }
      uint8_t padded[BlockColumns];
      const uint8_t* c = in + b * BlockColumns;
      if (b >= full_blocks) {
        std::memset(padded, 0, sizeof padded);
        std::memcpy(padded, c, columns - b * BlockColumns);
        c = padded;
      }
      for (size_t j = 0; j < kRowGroupBlockBytes; j++) out[j] = encode(c, j);
    }
  }
}

}  // namespace bitnet
