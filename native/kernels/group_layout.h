// The layout all multiply-add kernels for group-scaled weights share.
//
// Sixteen rows form a tile, so that a register's int32 lanes are rows: a group's sums need no reduction across lanes, and
// its scales are one load. A tile is one sequential stream, group after group:
//
//   16 scales, f32 (64 bytes)
//   16 zero points, int32 (64 bytes), where groups have their own
//   for every 16 columns: bits / 2 lines of 64 bytes, byte 4r + j of a line being row r (1 bit takes 2, 3 bits take 4):
//     2 bits: field f (bits 2f, 2f + 1) = column 4f + j
//     4 bits: line i, low half = column 8i + j, high half = column 8i + 4 + j
//     8 bits: line i = column 4i + j
//
// What is stored of a code is step * code. Columns are padded to 16 (the activations there are zero; the code stored is
// 0), rows to kRowTile.
#pragma once

#include "kernels/group_kernel.h"

namespace bitnet::grouped {

constexpr size_t kTileRows = 16;
constexpr size_t kLine = 64;

// Bits that a code takes.
constexpr int stored_bits(int bits) { return bits == 1 ? 2 : bits == 3 ? 4 : bits; }
constexpr size_t step_bytes(int stored_bits) { return kLine * static_cast<size_t>(stored_bits) / 2; }
inline size_t header_bytes(const GroupShape& s) { return s.zero_points ? 2 * kLine : kLine; }
inline size_t tile_bytes(const GroupShape& s) {
  return s.groups() * header_bytes(s) + round_up(s.columns, kGroupStep) / kGroupStep * step_bytes(stored_bits(s.bits));
}

bool supports(const GroupShape& shape);
// Writes the scales and zero points of group `group` of `rows` rows; scales and zeros as in GroupKernel::pack.
void pack_header(const GroupShape& shape, const float* scales, const uint8_t* zeros, size_t group, size_t rows, uint8_t* out);
size_t packed_bytes(const GroupShape& shape);
void pack(const GroupShape& shape, const uint8_t* codes, const float* scales, const uint8_t* zeros, size_t row_begin,
          size_t count, uint8_t* packed);

}  // namespace bitnet::grouped
