// Q8_0 (ggml): 32 signed bytes behind an f16 scale, 34 bytes in all. As a matrix of a linear layer its weights are codes
// around 128; as embedding or head they are multiplied as floats (kernels/dense.inl).
#include "formats/blocks.h"

namespace bitnet {
namespace {

bool unpack(const uint8_t* block, uint8_t* codes) {
  for (size_t i = 0; i < 32; i++) codes[i] = block[2 + i] ^ 0x80;
  return true;
}

using Q = Blocks<32, 34, 0>;
constexpr GroupScales kScales = {32, 8, 128, Q::unpack<unpack>, Q::scales, nullptr};

}  // namespace

extern const Format kFormatQ8_0 = {"q8_0",  Q::bytes, nullptr, nullptr, static_cast<int>(DenseType::kQ8_0),
                                   nullptr, nullptr,  &kScales};

}  // namespace bitnet
