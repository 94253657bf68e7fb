// binary16 to float, exact.
#pragma once

#include <cstdint>
#include <cstring>

namespace bitnet {

inline float half_to_float(const uint8_t* bytes) {
  uint16_t h;
  std::memcpy(&h, bytes, 2);
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 0x3ff;
  if (exponent == 0) {
    const float f = static_cast<float>(mantissa) * 5.9604644775390625e-8f;  // subnormal: mantissa * 2^-24
    return sign ? -f : f;
  }
  const uint32_t bits = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | mantissa << 13;
  float v;
  std::memcpy(&v, &bits, 4);
  return v;
}

}  // namespace bitnet
