// T5, this package's own dense type: a row is its f32 scale and then five weights a byte, byte = t0 + 3 t1 + 9 t2 + 27 t3 +
// 81 t4 with digits 0, 1, 2 for -1, 0, +1; the last byte's missing digits are 0. 1.6 bits a weight for any number of
// columns. Bytes from 243 on stand for nothing.
#include <cstring>

#include "formats/format.h"

namespace bitnet {
namespace {

constexpr size_t kHeader = 4;

size_t row_bytes(size_t columns) { return kHeader + (columns + 4) / 5; }

size_t bytes(size_t rows, size_t columns) { return rows * row_bytes(columns); }

bool unpack(const uint8_t* data, size_t, size_t columns, size_t row_begin, size_t count, uint8_t* codes) {
  bool valid = true;
  for (size_t r = 0; r < count; r++, codes += columns) {
    const uint8_t* in = data + (row_begin + r) * row_bytes(columns) + kHeader;
    for (size_t k = 0; k < columns; k += 5) {
      uint8_t byte = *in++;
      valid &= byte < 243;
      for (size_t i = k; i < k + 5 && i < columns; i++, byte /= 3) codes[i] = byte % 3;
    }
  }
  return valid;
}

void scales(const uint8_t* data, size_t columns, size_t row_begin, size_t count, float* out) {
  for (size_t i = 0; i < count; i++) std::memcpy(out + i, data + (row_begin + i) * row_bytes(columns), 4);
}

bool one_scale(const uint8_t*, size_t, size_t) { return true; }

constexpr GroupScales kScales = {0, 2, 1, unpack, scales, one_scale};

constexpr Format make() {
  Format format{"t5", bytes, unpack, nullptr, kNoDense};
  format.groups = &kScales;
  format.invalid = "holds a byte above 242, which no five ternary weights give: the file is damaged";
  return format;
}

}  // namespace

extern const Format kFormatT5 = make();

}  // namespace bitnet
