// neon-i8mm-t5: five weights a byte, decoded by tbl (neon/t5_decode.h: 9 operations per 80 weights) and multiplied by sdot
// in decode, by usmmla (byte_tile.h) in batches. Unpacking zips the packed bytes of two rows, then decodes.
#include "kernels/neon_i8mm/byte_tile.h"
#include "kernels/neon/t5_dot_gemv.inl"

#include "kernels/registry.h"
#include "kernels/t5_gemm.inl"

namespace bitnet {
namespace {

struct NeonI8mm {
  static constexpr bool kRowLists = false;
  using Tile = UsmmlaByteTile;

  static void gemv(const PackedMatrix& w, const int8_t* x, int32_t sum, int32_t* y, size_t r0, size_t r1) {
    t5_dot_gemv(w, x, sum, y, r0, r1);
  }

  // The group's 4 * stride bytes become two row pairs of 2 * stride: columns k..k+7 of the even row, then of the odd one.
  static BITNET_INLINE void unpack(const uint8_t* group, uint8_t* bytes, size_t stride, size_t blocks, size_t ahead) {
    const T5Decoder decoder;
    for (size_t b = 0; b < blocks; b++, group += 256) {
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { prefetch(group + 64 * r + ahead); });
      unroll<2>([&](auto h) BITNET_INLINE_LAMBDA {
        unroll<4>([&](auto j) BITNET_INLINE_LAMBDA {
          const uint8x16_t v0 = vld1q_u8(group + 128 * h + 16 * j), v1 = vld1q_u8(group + 128 * h + 64 + 16 * j);
          uint8x16_t low[5], high[5];
          decoder.decode(zip_low(v0, v1), low);
          decoder.decode(zip_high(v0, v1), high);
          unroll<5>([&](auto f) BITNET_INLINE_LAMBDA {
            uint8_t* out = bytes + 2 * h * stride + 2 * (b * t5::kBlockColumns + 64 * f + 16 * j);
            vst1q_u8(out, low[f]);
            vst1q_u8(out + 16, high[f]);
          });
        });
      });
    }
  }
};

}  // namespace

extern const TernaryKernel kNeonI8mmT5 = {
    "neon-i8mm-t5", "t5", "neon-i8mm",
    "Five weights a byte (1.6 bits), decoded by tbl, multiplied by sdot in decode and by usmmla in batches: ARMv8.6.",
    kNeon | kDotprod | kI8mm, t5::packed_bytes, t5::pack, byte_gemm_scratch, t5_gemm<NeonI8mm>, nullptr, nullptr,
};

}  // namespace bitnet
