// avx-vnni-t5: five weights a byte, decoded by pshufb (t5_decode.h: 21 operations per 160 weights) and multiplied by
// vpdpbusd on 32-byte registers.
//
// GEMV, per 32 bytes of a row: 1 load, 21 operations, 5 vpdpbusd with the activations as memory operands.
// GEMM: bytes, then the tile of byte_tile.h.
#include "kernels/avx2/t5_decode.h"
#include "kernels/avx_vnni/byte_tile.h"
#include "kernels/registry.h"
#include "kernels/t5_gemm.inl"

namespace bitnet {
namespace {

struct AvxVnni {
  static constexpr bool kRowLists = false;
  using Tile = VnniByteTile;

  static void gemv(const PackedMatrix& w, const int8_t* x, int32_t sum, int32_t* y, size_t r0, size_t r1) {
    const size_t blocks = t5::blocks(w.columns), ahead = w.prefetch;
    const uint8_t* p = w.data + r0 / 4 * blocks * 256;
    for (size_t row = r0; row < r1; row += 4) {
      Ymm a[4];
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { a[r] = _mm256_setzero_si256(); });
      for (size_t b = 0; b < blocks; b++, p += 256) {
        const int8_t* xb = x + b * t5::kBlockColumns;
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
          prefetch(p + 64 * r + ahead);
          unroll<2>([&](auto h) BITNET_INLINE_LAMBDA {
            Ymm t[5];
            decode_t5(load(p + 64 * r + 32 * h), t);
            unroll<5>([&](auto f) BITNET_INLINE_LAMBDA { dot(a[r], t[f], load(xb + 64 * f + 32 * h)); });
          });
        });
      }
      store4(y + row, sum4(a[0], a[1], a[2], a[3]), sum, true);
    }
  }

  static BITNET_INLINE void unpack(const uint8_t* group, uint8_t* bytes, size_t stride, size_t blocks, size_t ahead) {
    unpack_t5(group, bytes, stride, blocks, ahead);
  }
};

}  // namespace

extern const TernaryKernel kAvxVnniT5 = {
    "avx-vnni-t5", "t5", "avx-vnni",
    "Five weights a byte (1.6 bits), decoded by pshufb and multiplied by vpdpbusd on 32-byte registers.",
    kAvx2Level | kAvxVnni, t5::packed_bytes, t5::pack, byte_gemm_scratch, t5_gemm<AvxVnni>, nullptr, nullptr,
};

}  // namespace bitnet
