// Five base-3 digits in a byte as llama.cpp and ik_llama.cpp store them: byte = ceil(v * 256 / 243) for v of five digits,
// so that the digit of weight 3^(4 - level) is the high byte of 3 * (byte * 3^level mod 256). Every byte decodes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitnet {

// Level 0 is the most significant digit.
constexpr uint8_t trit(uint8_t byte, size_t level) {
  constexpr uint8_t kPowers[5] = {1, 3, 9, 27, 81};
  return static_cast<uint8_t>(static_cast<uint8_t>(byte * kPowers[level]) * 3 >> 8);
}

}  // namespace bitnet
