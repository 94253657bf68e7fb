// Ternary weights written out as floats, -s, 0 or s, as published "unpacked" models have them (TriLM, Ternary-Bonsai): the
// scale s is the same within each run of 128 columns of a row at least, and is found by looking. A run with two magnitudes
// is not ternary and is refused. Runs of zeros have the scale 0 where no other run of the row tells one.
#include <cmath>

#include "formats/floats.h"
#include "formats/format.h"

namespace bitnet {
namespace {

constexpr size_t kRun = 128;

using Value = float (*)(const uint8_t*, size_t);

// The magnitude of a run's weights that are not zero; 0 where all are.
template <Value value>
float magnitude(const uint8_t* row, size_t begin, size_t end) {
  for (size_t i = begin; i < end; i++) {
    const float v = std::fabs(value(row, i));
    if (v != 0) return v;
  }
  return 0;
}

template <size_t Size, Value value>
bool unpack(const uint8_t* data, size_t, size_t columns, size_t row_begin, size_t count, uint8_t* codes) {
  bool valid = true;
  for (size_t r = 0; r < count; r++, codes += columns) {
    const uint8_t* row = data + (row_begin + r) * columns * Size;
    for (size_t begin = 0; begin < columns; begin += kRun) {
      const size_t end = begin + kRun < columns ? begin + kRun : columns;
      const float s = magnitude<value>(row, begin, end);
      for (size_t i = begin; i < end; i++) {
        const float v = value(row, i);
        valid &= v == 0 || v == s || v == -s;
        codes[i] = static_cast<uint8_t>(1 + (v > 0) - (v < 0));
      }
    }
  }
  return valid;
}

template <size_t Size, Value value>
void scales(const uint8_t* data, size_t columns, size_t row_begin, size_t count, float* out) {
  for (size_t r = 0; r < count; r++) {
    const uint8_t* row = data + (row_begin + r) * columns * Size;
    const float s = magnitude<value>(row, 0, columns);
    for (size_t begin = 0; begin < columns; begin += kRun) {
      const float own = magnitude<value>(row, begin, begin + kRun < columns ? begin + kRun : columns);
      *out++ = own != 0 ? own : s;
    }
  }
}

template <size_t Size, Value value>
bool one_scale(const uint8_t* data, size_t columns, size_t row) {
  const uint8_t* values = data + row * columns * Size;
  const float s = magnitude<value>(values, 0, columns);
  for (size_t i = 0; i < columns; i++) {
    const float v = value(values, i);
    if (v != 0 && v != s && v != -s) return false;
  }
  return true;
}

template <size_t Size>
size_t bytes(size_t rows, size_t columns) {
  return rows * columns * Size;
}

template <size_t Size, Value value>
constexpr GroupScales kScales = {kRun, 2, 1, unpack<Size, value>, scales<Size, value>, one_scale<Size, value>};

template <size_t Size, Value value>
constexpr Format unpacked_format(const char* name) {
  Format format{name, bytes<Size>, unpack<Size, value>, nullptr, kNoDense};
  format.groups = &kScales<Size, value>;
  format.invalid =
      "holds weights of more than one magnitude within 128 columns of a row: they are not ternary. Models with master weights "
      "need a \"quantization_config\" in config.json that says so; others cannot be run";
  return format;
}

}  // namespace

extern const Format kFormatF32Unpacked = unpacked_format<4, value_f32>("f32_unpacked");
extern const Format kFormatF16Unpacked = unpacked_format<2, value_f16>("f16_unpacked");
extern const Format kFormatBf16Unpacked = unpacked_format<2, value_bf16>("bf16_unpacked");

}  // namespace bitnet
