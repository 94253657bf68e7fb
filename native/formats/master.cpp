// Master weights: floats that become ternary while they are packed (see Format::row_magnitude).
#include <cmath>

#include "formats/floats.h"
#include "formats/format.h"

namespace bitnet {
namespace {

template <size_t Size>
size_t bytes(size_t rows, size_t columns) {
  return rows * columns * Size;
}

template <size_t Size, float (*Value)(const uint8_t*, size_t)>
double row_magnitude(const uint8_t* data, size_t columns, size_t row) {
  constexpr size_t kLanes = 16;
  const uint8_t* values = data + row * columns * Size;
  double lanes[kLanes] = {};
  const size_t whole = columns / kLanes * kLanes;
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; lane++) lanes[lane] += std::fabs(static_cast<double>(Value(values, i + lane)));
  }
  for (size_t i = whole; i < columns; i++) lanes[i % kLanes] += std::fabs(static_cast<double>(Value(values, i)));
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

template <size_t Size, float (*Value)(const uint8_t*, size_t)>
void quantize_codes(const uint8_t* data, size_t columns, size_t row_begin, size_t count, float scale, uint8_t* codes) {
  const float half = 0.5f * scale;
  const uint8_t* values = data + row_begin * columns * Size;
  for (size_t i = 0; i < count * columns; i++) {
    const float v = Value(values, i);
    codes[i] = static_cast<uint8_t>(1 + (v > half) - (v < -half));
  }
}

template <size_t Size, float (*Value)(const uint8_t*, size_t)>
constexpr Format master_format(const char* name) {
  return {name, bytes<Size>, nullptr, nullptr, kNoDense, row_magnitude<Size, Value>, quantize_codes<Size, Value>};
}

}  // namespace

extern const Format kFormatF32Master = master_format<4, value_f32>("f32_master");
extern const Format kFormatF16Master = master_format<2, value_f16>("f16_master");
extern const Format kFormatBf16Master = master_format<2, value_bf16>("bf16_master");

}  // namespace bitnet
