// TL1, bitnet.cpp's layout for pairs on ARM: index 3a + b + 4 of two weights in four bits, tile by tile.
//
// With BM, BK, bm of tl_presets.h and by = 256 / bm, bytes follow one another as
//   [rows / BM][columns / BK][BM / bm][BK / by][bm / 16][by / 4][16 rows]
// and a byte holds a row's two pairs of four neighbouring columns, the first in the high half. One f32 scale at byte
// rows * columns / 4, then 28 bytes of padding.
#include "formats/tl_presets.h"

namespace bitnet {
namespace {

size_t scale_at(size_t rows, size_t columns) { return rows * columns / 4; }

using File = TlFile<kTl1Presets, scale_at>;

bool unpack_codes(const uint8_t* data, size_t rows, size_t columns, size_t row_begin, size_t count, uint8_t* codes) {
  const TlPreset& p = *File::find(rows, columns);
  const size_t inner_columns = 256 / p.inner_rows, quads = inner_columns / 4;
  bool valid = true;
  for (size_t row = row_begin; row < row_begin + count; row++) {
    const size_t in_tile = row % p.tile_rows, in_inner = in_tile % p.inner_rows;
    for (size_t k = 0; k < columns; k += 4) {
      size_t at = row / p.tile_rows * (columns / p.tile_columns) + k / p.tile_columns;
      at = at * (p.tile_rows / p.inner_rows) + in_tile / p.inner_rows;
      at = at * (p.tile_columns / inner_columns) + k % p.tile_columns / inner_columns;
      at = at * (p.inner_rows / 16) + in_inner / 16;
      at = at * quads + k % inner_columns / 4;
      const uint8_t byte = data[at * 16 + in_inner % 16];
      for (const int pair : {byte >> 4, byte & 15}) {
        valid &= pair < 9;
        *codes++ = static_cast<uint8_t>(pair / 3);
        *codes++ = static_cast<uint8_t>(pair % 3);
      }
    }
  }
  return valid;
}

}  // namespace

extern const Format kFormatTl1 = File::format("tl1", unpack_codes);

}  // namespace bitnet
