// The layout all I2_S (2-bit multiply-add) kernels share: "g4".
//
// Codes c = w + 1. A 64-byte block holds 256 consecutive weights of one row: byte j, bits 2f and 2f+1 = weight 64f + j,
// so activations stay in their natural order and a field needs one AND, no shift, when the factor 4^f it carries is
// undone once per row. Four rows are interleaved block by block, which makes a GEMV one sequential stream:
//
//   [row 0 block 0][row 1 block 0][row 2 block 0][row 3 block 0][row 0 block 1] ...
//
// Columns are padded to 256 (the activations there are zero, any code will do; 0 is stored), rows to kRowTile.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernel.h"

namespace bitnet::i2s {

constexpr size_t kBlockColumns = 256;
constexpr size_t kBlockBytes = 64;
constexpr size_t kGroupRows = 4;

constexpr size_t blocks(size_t columns) { return (columns + kBlockColumns - 1) / kBlockColumns; }
// Bytes of a group of four rows.
constexpr size_t group_bytes(size_t columns) { return blocks(columns) * kBlockBytes * kGroupRows; }

size_t packed_bytes(size_t rows, size_t columns);
void pack(const uint8_t* codes, size_t row_begin, size_t count, size_t rows, size_t columns, uint8_t* packed);

}  // namespace bitnet::i2s
