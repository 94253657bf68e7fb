// Q4_0 (ggml): 32 weights in 18 bytes, the f16 scale first; byte b holds weight b in its low and weight 16 + b in its high
// four bits, weight = (code - 8) * scale.
#include "formats/blocks.h"

namespace bitnet {
namespace {

bool unpack(const uint8_t* block, uint8_t* codes) {
  for (size_t b = 0; b < 16; b++) {
    codes[b] = block[2 + b] & 15;
    codes[16 + b] = block[2 + b] >> 4;
  }
  return true;
}

using Q = Blocks<32, 18, 0>;
constexpr GroupScales kScales = {32, 4, 8, Q::unpack<unpack>, Q::scales, nullptr};

}  // namespace

extern const Format kFormatQ4_0 = {"q4_0", Q::bytes, nullptr, nullptr, static_cast<int>(DenseType::kQ4_0),
                                  nullptr, nullptr, &kScales};

}  // namespace bitnet
