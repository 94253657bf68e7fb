// Hugging Face's packed ternary weights: uint8 [rows / 4, columns], bit pair 2q of stored row r holding row
// q * rows / 4 + r, value + 1. Four stacked quarters, not neighbours. The scale is a tensor of its own.
#include "formats/format.h"

namespace bitnet {
namespace {

size_t bytes(size_t rows, size_t columns) { return rows % 4 ? 0 : rows / 4 * columns; }

bool unpack_codes(const uint8_t* data, size_t rows, size_t columns, size_t row_begin, size_t count, uint8_t* codes) {
  const size_t quarter_rows = rows / 4;
  uint8_t invalid = 0;
  for (size_t row = row_begin; row < row_begin + count; row++) {
    const uint8_t* stored = data + row % quarter_rows * columns;
    const size_t shift = row / quarter_rows * 2;
    for (size_t c = 0; c < columns; c++) {
      const auto code = static_cast<uint8_t>(stored[c] >> shift & 3);
      invalid |= static_cast<uint8_t>(code & code >> 1);
      codes[c] = code;
    }
    codes += columns;
  }
  return !invalid;
}

}  // namespace

extern const Format kFormatHfPackedU8 = {"hf_packed_u8", bytes, unpack_codes, nullptr, kNoDense};

}  // namespace bitnet
