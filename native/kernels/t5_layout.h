// The layout all dense 1.6-bit kernels share: five weights a byte, 320 in 64 bytes.
//
// Codes t = w + 1. Byte j of a 64-byte block holds the weights 64f + j, f = 0..4, so activations stay in their natural
// order: byte = 28 * (t3 + 3 * t4) + (t0 + 3 * t1 + 9 * t2), 0..250. With 28 instead of 27 the high six bits of a byte
// say t3, t4 and two thirds of the rest, so that look-ups of 64 and of 32 entries decode it (vpermb; tbl). Four rows are
// interleaved block by block, as in i2s_layout.h, which makes a GEMV one sequential stream.
//
// Columns are padded to 320 (the activations there are zero; the code stored is 0), rows to kRowTile.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernel.h"

namespace bitnet::t5 {

constexpr size_t kBlockColumns = 320;
constexpr size_t kBlockBytes = 64;
constexpr size_t kGroupRows = 4;
constexpr size_t kFields = 5;

constexpr size_t blocks(size_t columns) { return (columns + kBlockColumns - 1) / kBlockColumns; }
// Bytes of a group of four rows.
constexpr size_t group_bytes(size_t columns) { return blocks(columns) * kBlockBytes * kGroupRows; }

size_t packed_bytes(size_t rows, size_t columns);
void pack(const uint8_t* codes, size_t row_begin, size_t count, size_t rows, size_t columns, uint8_t* packed);

}  // namespace bitnet::t5
