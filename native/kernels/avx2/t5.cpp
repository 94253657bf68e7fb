// avx2-t5: five weights a byte, decoded by pshufb (t5_decode.h: 21 operations per 160 weights) and multiplied by
// vpmaddubsw.
//
// GEMV, per 32 bytes of a row: 1 load, 21 operations, 5 vpmaddubsw with the activations as memory operands, 5 vpaddw;
// widened to int32 every six blocks: 6 * 2 * 5 * 512 = 30720. GEMM: bytes, then the tile of byte_tile.h.
// Decoding costs more than the multiplication: this kernel pays where memory is slow, not where it is fast.
#include "kernels/avx2/byte_tile.h"
#include "kernels/avx2/t5_decode.h"
#include "kernels/registry.h"
#include "kernels/t5_gemm.inl"

namespace bitnet {
namespace {

struct Avx2 {
  static constexpr bool kRowLists = false;
  using Tile = MaddubsByteTile;

  static void gemv(const PackedMatrix& w, const int8_t* x, int32_t sum, int32_t* y, size_t r0, size_t r1) {
    constexpr size_t kFlushBlocks = 6;
    const size_t blocks = t5::blocks(w.columns), ahead = w.prefetch;
    const uint8_t* p = w.data + r0 / 4 * blocks * 256;
    for (size_t row = r0; row < r1; row += 4) {
      Ymm total[4];
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { total[r] = _mm256_setzero_si256(); });
      for (size_t b0 = 0; b0 < blocks; b0 += kFlushBlocks) {
        const size_t b1 = min_size(blocks, b0 + kFlushBlocks);
        Ymm a[4];
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { a[r] = _mm256_setzero_si256(); });
        for (size_t b = b0; b < b1; b++, p += 256) {
          const int8_t* xb = x + b * t5::kBlockColumns;
          unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
            prefetch(p + 64 * r + ahead);
            unroll<2>([&](auto h) BITNET_INLINE_LAMBDA {
              Ymm t[5];
              decode_t5(load(p + 64 * r + 32 * h), t);
              unroll<5>([&](auto f) BITNET_INLINE_LAMBDA {
                a[r] = _mm256_add_epi16(a[r], _mm256_maddubs_epi16(t[f], load(xb + 64 * f + 32 * h)));
              });
            });
          });
        }
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { total[r] = _mm256_add_epi32(total[r], widen(a[r])); });
      }
      store4(y + row, sum4(total[0], total[1], total[2], total[3]), sum, true);
    }
  }

  static BITNET_INLINE void unpack(const uint8_t* group, uint8_t* bytes, size_t stride, size_t blocks, size_t ahead) {
    unpack_t5(group, bytes, stride, blocks, ahead);
  }
};

}  // namespace

extern const TernaryKernel kAvx2T5 = {
    "avx2-t5", "t5", "avx2", "Five weights a byte (1.6 bits), decoded by pshufb and multiplied by vpmaddubsw.",
    kAvx2Level, t5::packed_bytes, t5::pack, byte_gemm_scratch, t5_gemm<Avx2>, nullptr, nullptr,
};

}  // namespace bitnet
