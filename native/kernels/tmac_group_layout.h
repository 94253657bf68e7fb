// The layout of group-scaled weights as bit planes: T-MAC's general case, codes of 1 to 4 bits.
//
// As in group_layout.h a tile is sixteen rows and one sequential stream, group after group: 16 scales (f32), 16 zero points
// (int32) where groups have their own, then the group's blocks of 16 columns, `bits` planes each, in a tmac::Layout of
// tmac_lut.h. Groups hold whole pairs of blocks; the last one is padded to a pair.
#pragma once

#include "kernels/group_layout.h"
#include "kernels/tmac_lut.h"

namespace bitnet::tmac_group {

constexpr size_t kPairColumns = Fours::kColumns * Fours::kBlocks;

// Blocks of a group, the last one of a row may have fewer.
inline size_t group_blocks(const GroupShape& s) {
  const size_t columns = s.group < s.columns ? s.group : s.columns;
  return (columns + kPairColumns - 1) / kPairColumns * Fours::kBlocks;
}
inline size_t tile_bytes(const GroupShape& s) {
  return s.groups() * grouped::header_bytes(s) + tmac_tile_bytes(s.columns, static_cast<size_t>(s.bits));
}

bool supports(const GroupShape& shape);
size_t packed_bytes(const GroupShape& shape);
void pack_rows(const GroupShape& shape, const uint8_t* codes, const float* scales, const uint8_t* zeros, size_t row_begin,
               size_t count, uint8_t* packed);
void pack_words(const GroupShape& shape, const uint8_t* codes, const float* scales, const uint8_t* zeros, size_t row_begin,
                size_t count, uint8_t* packed);
void pack_dwords(const GroupShape& shape, const uint8_t* codes, const float* scales, const uint8_t* zeros, size_t row_begin,
                 size_t count, uint8_t* packed);

}  // namespace bitnet::tmac_group
