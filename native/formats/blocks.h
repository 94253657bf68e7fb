// What formats made of equal blocks share: rows are whole blocks of `Columns` weights in `Bytes` bytes, each with an f16
// scale at byte `ScaleAt`.
#pragma once

#include "formats/format.h"
#include "formats/half.h"

namespace bitnet {

template <size_t Columns, size_t Bytes, size_t ScaleAt>
struct Blocks {
  static size_t bytes(size_t rows, size_t columns) { return columns % Columns ? 0 : rows * (columns / Columns) * Bytes; }

  static void scales(const uint8_t* data, size_t columns, size_t row_begin, size_t count, float* out) {
    const size_t blocks = columns / Columns;
    const uint8_t* block = data + row_begin * blocks * Bytes;
    for (size_t i = 0; i < count * blocks; i++, block += Bytes) out[i] = half_to_float(block + ScaleAt);
  }

  static bool one_scale(const uint8_t* data, size_t columns, size_t row) {
    const size_t blocks = columns / Columns;
    const uint8_t* first = data + row * blocks * Bytes + ScaleAt;
    for (size_t b = 1; b < blocks; b++) {
      if (first[b * Bytes] != first[0] || first[b * Bytes + 1] != first[1]) return false;
    }
    return true;
  }

  // Unpack(block, codes): the codes of one block; false where one of them stands for nothing.
  template <bool (*Unpack)(const uint8_t*, uint8_t*)>
  static bool unpack(const uint8_t* data, size_t, size_t columns, size_t row_begin, size_t count, uint8_t* codes) {
    const size_t blocks = columns / Columns;
    const uint8_t* block = data + row_begin * blocks * Bytes;
    bool valid = true;
    for (size_t i = 0; i < count * blocks; i++, block += Bytes, codes += Columns) valid &= Unpack(block, codes);
    return valid;
  }
};

}  // namespace bitnet
