// TL2, bitnet.cpp's layout for triples on x86: |9a + 3b + c| of three weights in four bits and its sign apart, tile by tile.
//
// The first floor(columns / BK) * BK columns are triples, the rest pairs 3a + b + 4. With BM and BK of tl_presets.h:
//   triples  [rows / BM][tiles of BK][BM / 32][BK / 6][32 rows], two neighbouring triples a byte, the first in the high half
//   signs    [rows / BM][tiles of BK][BM / 32][BK / 24][16] little-endian 16-bit words: bit 15 - (2t + h) of word c is set
//            where triple t of these eight is negative in row 16h + c
//   pairs    [rows / BM][columns / 32][BM / 32][8][32 rows], two neighbouring pairs a byte, the first in the high half
// The 32 rows of triples and pairs stand in the order 0-7, 16-23, 8-15, 24-31. Behind all, at the size that bitnet.cpp
// reserves, rounded up to 32, one f32 scale and 28 bytes of padding.
#include "formats/tl_presets.h"

namespace bitnet {
namespace {

constexpr size_t kRows = 32;         // of an inner tile
constexpr size_t kPairColumns = 32;  // of a tile of pairs

size_t scale_at(size_t rows, size_t columns) {
  const size_t size = (columns - 256) * rows / 3 * 5 / 8 + 256 * rows / 4;
  return (size + 31) / 32 * 32;
}

using File = TlFile<kTl2Presets, scale_at>;

// Where a row stands among the 32.
size_t place(size_t row) {
  const size_t eight = row % kRows / 8;
  return (eight == 1 ? 2 : eight == 2 ? 1 : eight) * 8 + row % 8;
}

bool unpack_codes(const uint8_t* data, size_t rows, size_t columns, size_t row_begin, size_t count, uint8_t* codes) {
  const TlPreset& p = *File::find(rows, columns);
  const size_t three = columns / p.tile_columns * p.tile_columns, two = columns - three;
  const uint8_t* signs = data + rows * three / 6;
  const uint8_t* pairs = signs + rows * three / 24;
  bool valid = true;
  for (size_t row = row_begin; row < row_begin + count; row++) {
    const size_t tile = row / p.tile_rows, inner = row % p.tile_rows / kRows, inners = p.tile_rows / kRows;
    for (size_t k = 0; k < three; k += 3) {
      const size_t panel = (tile * (three / p.tile_columns) + k / p.tile_columns) * inners + inner;
      const size_t in_panel = k % p.tile_columns, triple = in_panel / 3;
      const uint8_t byte = data[(panel * (p.tile_columns / 6) + in_panel / 6) * kRows + place(row)];
      const int size = triple % 2 ? byte & 15 : byte >> 4;
      const uint8_t* word = signs + ((panel * (p.tile_columns / 24) + in_panel / 24) * 16 + row % 16) * 2;
      const size_t bit = 15 - (2 * (triple % 8) + row % kRows / 16);
      const bool negative = (word[0] | word[1] << 8) >> bit & 1;
      valid &= size <= 13 && (size || !negative);
      // Balanced ternary digits: v + 13 in base 3.
      const int v = (negative ? -size : size) + 13;
      *codes++ = static_cast<uint8_t>(v / 9 % 3);
      *codes++ = static_cast<uint8_t>(v / 3 % 3);
      *codes++ = static_cast<uint8_t>(v % 3);
    }
    for (size_t k = 0; k < two; k += 2) {
      const size_t panel = (tile * (two / kPairColumns) + k / kPairColumns) * inners + inner;
      const uint8_t byte = pairs[(panel * (kPairColumns / 4) + k % kPairColumns / 4) * kRows + place(row)];
      const int pair = k % 4 ? byte & 15 : byte >> 4;
      valid &= pair < 9;
      *codes++ = static_cast<uint8_t>(pair / 3);
      *codes++ = static_cast<uint8_t>(pair % 3);
    }
  }
  return valid;
}

}  // namespace

extern const Format kFormatTl2 = File::format("tl2", unpack_codes);

}  // namespace bitnet
