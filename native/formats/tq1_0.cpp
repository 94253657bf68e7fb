// TQ1_0 (ggml) and PTQ1_0 (PrismML's fork): base-3 digits, five a byte, one f16 scale per block.
//
// TQ1_0, 256 weights in 54 bytes: 48 bytes of five digits, 4 bytes of four, the scale last. The first 32 bytes hold
// weights 0..159, weight 32 * level + byte; the next 16 hold 160..239 in the same way, the last 4 hold 240..255.
// PTQ1_0, 128 weights in 28 bytes: the same in runs of 16, 8 and 2 bytes (80, 40 and 8 weights).
// Digits 0, 1, 2 stand for -1, 0, +1.
#include "formats/blocks.h"
#include "formats/trits.h"

namespace bitnet {
namespace {

// `bytes` bytes of `levels` digits: digit `level` of byte b is weight level * bytes + b.
void run(const uint8_t* in, size_t bytes, size_t levels, uint8_t* codes) {
  for (size_t level = 0; level < levels; level++) {
    for (size_t b = 0; b < bytes; b++) *codes++ = trit(in[b], level);
  }
}

bool unpack_tq1_0(const uint8_t* block, uint8_t* codes) {
  run(block, 32, 5, codes);
  run(block + 32, 16, 5, codes + 160);
  run(block + 48, 4, 4, codes + 240);
  return true;
}

bool unpack_ptq1_0(const uint8_t* block, uint8_t* codes) {
  run(block, 16, 5, codes);
  run(block + 16, 8, 5, codes + 80);
  run(block + 24, 2, 4, codes + 120);
  return true;
}

using Tq = Blocks<256, 54, 52>;
using Ptq = Blocks<128, 28, 26>;

constexpr GroupScales kTqScales = {256, 2, 1, Tq::unpack<unpack_tq1_0>, Tq::scales, Tq::one_scale};
constexpr GroupScales kPtqScales = {128, 2, 1, Ptq::unpack<unpack_ptq1_0>, Ptq::scales, Ptq::one_scale};

}  // namespace

extern const Format kFormatTq1_0 = {"tq1_0", Tq::bytes, Tq::unpack<unpack_tq1_0>, nullptr,
                                    static_cast<int>(DenseType::kTq1_0), nullptr, nullptr, &kTqScales};
extern const Format kFormatPtq1_0 = {"ptq1_0", Ptq::bytes, Ptq::unpack<unpack_ptq1_0>, nullptr,
                                     static_cast<int>(DenseType::kPtq1_0), nullptr, nullptr, &kPtqScales};

}  // namespace bitnet
