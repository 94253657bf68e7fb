#include "kernels/group_layout.h"

#include <algorithm>
#include <cstring>

namespace bitnet::grouped {

bool supports(const GroupShape& s) {
  const bool codes = s.step == 1 ? s.bits >= 1 && (s.bits <= 4 || s.bits == 8) : s.step == 2 && s.bits == 1;
  return codes && s.group && s.group % kGroupStep == 0 && std::min(s.group, s.columns) <= kMaxGroupColumns;
}

size_t packed_bytes(const GroupShape& s) { return round_up(s.rows, kTileRows) / kTileRows * tile_bytes(s); }

void pack_header(const GroupShape& s, const float* scales, const uint8_t* zeros, size_t group, size_t rows, uint8_t* out) {
  const size_t groups = s.groups();
  std::memset(out, 0, header_bytes(s));
  for (size_t r = 0; r < rows; r++) std::memcpy(out + 4 * r, scales + r * groups + group, 4);
  for (size_t r = 0; s.zero_points && r < rows; r++) {
    const auto zero = static_cast<int32_t>(zeros[r * groups + group]);
    std::memcpy(out + kLine + 4 * r, &zero, 4);
  }
}

void pack(const GroupShape& s, const uint8_t* codes, const float* scales, const uint8_t* zeros, size_t row_begin,
          size_t count, uint8_t* packed) {
  const auto bits = static_cast<size_t>(stored_bits(s.bits)), step = static_cast<size_t>(s.step);
  const size_t groups = s.groups(), line_columns = 32 / bits;
  for (size_t tile = 0; tile < count; tile += kTileRows) {
    const size_t rows = std::min(kTileRows, count - tile);
    uint8_t* out = packed + (row_begin + tile) / kTileRows * tile_bytes(s);
    for (size_t g = 0; g < groups; g++) {
      pack_header(s, scales + tile * groups, s.zero_points ? zeros + tile * groups : nullptr, g, rows, out);
      out += header_bytes(s);
      const size_t begin = g * s.group, end = std::min(begin + s.group, round_up(s.columns, kGroupStep));
      for (size_t k = begin; k < end; k += line_columns, out += kLine) {
        std::memset(out, 0, kLine);
        for (size_t r = 0; r < rows; r++) {
          const uint8_t* row = codes + (tile + r) * s.columns;
          for (size_t i = 0; i < line_columns && k + i < s.columns; i++) {
            out[4 * r + i % 4] |= static_cast<uint8_t>(row[k + i] * step << (bits * (i / 4) & 7));
          }
        }
      }
    }
  }
}

}  // namespace bitnet::grouped
