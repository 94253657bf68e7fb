// Single values of the plain float types, for formats that are floats in the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "formats/half.h"

namespace bitnet {

inline float value_f32(const uint8_t* row, size_t i) {
  float v;
  std::memcpy(&v, row + 4 * i, 4);
  return v;
}

inline float value_bf16(const uint8_t* row, size_t i) {
  uint16_t bits;
  std::memcpy(&bits, row + 2 * i, 2);
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float v;
  std::memcpy(&v, &wide, 4);
  return v;
}

inline float value_f16(const uint8_t* row, size_t i) { return half_to_float(row + 2 * i); }

}  // namespace bitnet
