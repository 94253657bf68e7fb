// The layouts whose rows are 64-byte blocks one behind the other (i2s, t5), rows following one another: they differ in how
// many columns a block holds and in how the codes of one byte are combined, and in nothing else. A row that activation
// sparsity skips is one piece, and a product chooses its streams (four_rows.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/kernel.h"

namespace bitnet {

constexpr size_t kBlockBytes = 64;

// Columns are padded to whole blocks, rows to kRowTile.
template <size_t BlockColumns>
struct RowLayout {
  static constexpr size_t kBlockColumns = BlockColumns;
  static constexpr size_t blocks(size_t columns) { return (columns + BlockColumns - 1) / BlockColumns; }
  static constexpr size_t row_bytes(size_t columns) { return blocks(columns) * kBlockBytes; }
};

// TernaryKernel::packed_bytes
template <class Layout>
size_t packed_rows_bytes(size_t rows, size_t columns) {
  return round_up(rows, kRowTile) * Layout::row_bytes(columns);
}

// TernaryKernel::pack. encode(c, j) makes byte j of a block from its codes c; columns
// and rows beyond the matrix are stored as code 0 and as zero bytes.
template <class Layout, class Encode>
void pack_rows(const uint8_t* codes, size_t row_begin, size_t count, size_t rows, size_t columns, uint8_t* packed,
               Encode&& encode) {
  constexpr size_t kColumns = Layout::kBlockColumns;
  const size_t blocks = Layout::blocks(columns), full_blocks = columns / kColumns;
  const size_t row_bytes = Layout::row_bytes(columns), row_end = row_begin + count;
  for (size_t row = row_begin; row < row_end; row++) {
    uint8_t* out = packed + row * row_bytes;
    const uint8_t* in = codes + (row - row_begin) * columns;
    for (size_t b = 0; b < blocks; b++, out += kBlockBytes) {
      uint8_t padded[kColumns];
      const uint8_t* c = in + b * kColumns;
      if (b >= full_blocks) {
        std::memset(padded, 0, sizeof padded);
        std::memcpy(padded, c, columns - b * kColumns);
        c = padded;
      }
      for (size_t j = 0; j < kBlockBytes; j++) out[j] = encode(c, j);
    }
  }
  if (row_end == rows) std::memset(packed + rows * row_bytes, 0, (round_up(rows, kRowTile) - rows) * row_bytes);
}

}  // namespace bitnet
