// Q1_0 (ggml): 128 signs in 18 bytes, the f16 scale first; bit i % 8 of byte i / 8 set means +1, else -1. As ternary codes
// these are 2 and 0, as one-bit codes 1 and 0.
#include "formats/blocks.h"

namespace bitnet {
namespace {

template <int Set>
bool unpack(const uint8_t* block, uint8_t* codes) {
  for (size_t i = 0; i < 128; i++) codes[i] = static_cast<uint8_t>((block[2 + i / 8] >> (i % 8) & 1) * Set);
  return true;
}

using Q = Blocks<128, 18, 0>;
constexpr GroupScales kScales = {128, 1, 1, Q::unpack<unpack<1>>, Q::scales, Q::one_scale, 2};

}  // namespace

extern const Format kFormatQ1_0 = {"q1_0", Q::bytes, Q::unpack<unpack<2>>, nullptr,
                                  static_cast<int>(DenseType::kQ1_0), nullptr, nullptr, &kScales};

}  // namespace bitnet
