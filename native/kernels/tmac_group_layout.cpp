#include "kernels/tmac_group_layout.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace bitnet::tmac_group {
namespace {

void pack(tmac::Layout layout, const GroupShape& s, const uint8_t* codes, const float* scales, const uint8_t* zeros,
          size_t row_begin, size_t count, uint8_t* packed) {
  const auto planes = static_cast<size_t>(s.bits);
  const size_t groups = s.groups(), width = std::min(s.group, s.columns);
  std::vector<uint8_t> piece(grouped::kTileRows * width);
  for (size_t tile = 0; tile < count; tile += grouped::kTileRows) {
    const size_t rows = std::min(grouped::kTileRows, count - tile);
    uint8_t* out = packed + (row_begin + tile) / grouped::kTileRows * tile_bytes(s);
    for (size_t g = 0; g < groups; g++) {
      grouped::pack_header(s, scales + tile * groups, s.zero_points ? zeros + tile * groups : nullptr, g, rows, out);
      out += grouped::header_bytes(s);
      const size_t columns = std::min(width, s.columns - g * s.group);
      for (size_t r = 0; r < rows; r++) {
        std::memcpy(piece.data() + r * columns, codes + (tile + r) * s.columns + g * s.group, columns);
      }
      tmac::pack(layout, planes, piece.data(), 0, rows, rows, columns, out);
      out += tmac_tile_bytes(columns, planes);
    }
  }
}

}  // namespace

bool supports(const GroupShape& s) {
  const bool codes = s.step == 1 ? s.bits >= 1 && s.bits <= 4 : s.step == 2 && s.bits == 1;
  return codes && s.group && (s.group % kPairColumns == 0 || s.group >= s.columns) &&
         std::min(s.group, s.columns) <= kMaxGroupColumns;
}

size_t packed_bytes(const GroupShape& s) { return round_up(s.rows, grouped::kTileRows) / grouped::kTileRows * tile_bytes(s); }

void pack_rows(const GroupShape& s, const uint8_t* codes, const float* scales, const uint8_t* zeros, size_t row_begin,
               size_t count, uint8_t* packed) {
  pack(tmac::Layout::kRows, s, codes, scales, zeros, row_begin, count, packed);
}
void pack_words(const GroupShape& s, const uint8_t* codes, const float* scales, const uint8_t* zeros, size_t row_begin,
                size_t count, uint8_t* packed) {
  pack(tmac::Layout::kWords, s, codes, scales, zeros, row_begin, count, packed);
}
void pack_dwords(const GroupShape& s, const uint8_t* codes, const float* scales, const uint8_t* zeros, size_t row_begin,
                 size_t count, uint8_t* packed) {
  pack(tmac::Layout::kDwords, s, codes, scales, zeros, row_begin, count, packed);
}

}  // namespace bitnet::tmac_group
