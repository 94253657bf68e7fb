// TQ2_0 (ggml): 256 weights in 66 bytes, the f16 scale last. Bits 2f, 2f + 1 of byte 32h + b hold weight
// 128h + 32f + b, codes 0, 1, 2 for -1, 0, +1.
#include "formats/blocks.h"

namespace bitnet {
namespace {

bool unpack(const uint8_t* block, uint8_t* codes) {
  uint8_t invalid = 0;
  for (size_t h = 0; h < 2; h++) {
    for (size_t b = 0; b < 32; b++) {
      const uint8_t byte = block[32 * h + b];
      invalid |= byte & byte >> 1 & 0x55;
      for (size_t f = 0; f < 4; f++) codes[128 * h + 32 * f + b] = byte >> (2 * f) & 3;
    }
  }
  return !invalid;
}

using Tq = Blocks<256, 66, 64>;
constexpr GroupScales kScales = {256, 2, 1, Tq::unpack<unpack>, Tq::scales, Tq::one_scale};

}  // namespace

extern const Format kFormatTq2_0 = {"tq2_0", Tq::bytes, Tq::unpack<unpack>, nullptr,
                                   static_cast<int>(DenseType::kTq2_0), nullptr, nullptr, &kScales};

}  // namespace bitnet
