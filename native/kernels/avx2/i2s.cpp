// avx2-i2s: I2_S with vpmaddubsw, exact in 16 bits.
//
// vpmaddubsw adds two u8 x s8 products into int16; with codes of at most 3 (the head's sketch; ternary
// codes stop at 2) that is at most 2 * 3 * 128 = 768 in absolute value, so 42 of them fit. A field that carries the
// factor 4 reaches 3072 and fits 10 times.
// GEMV, per 32 bytes of a row (128 weights): 1 load, 1 shift, 4 vpand, 4 vpmaddubsw, 4 vpaddw: fields 0 and 2 are summed
// in one accumulator, 1 and 3 (factor 4) in another, widened to int32 every two blocks: 2 * 2 * 2 * 3072 = 24576.
// GEMM: bytes, then the tile of byte_tile.h.
#include "kernels/avx2/byte_tile.h"
#include "kernels/i2s_layout.h"
#include "kernels/registry.h"
#include "kernels/row_gemm.inl"

namespace bitnet {
namespace {

struct Avx2 : RowByRow<i2s::Layout, UnpackI2s> {
  using Tile = MaddubsByteTile;
  static constexpr int kPackedTokens = 2;  // decoding needs registers too

  template <class Rows>
  static BITNET_INLINE void gemv(const PackedMatrix& w, const int8_t* x, int32_t sum, const Rows& rows, int32_t* y) {
    const size_t blocks = Layout::blocks(w.columns);
    constexpr size_t kFlushBlocks = 2;
    const Ymm low = _mm256_set1_epi8(0x03), high = _mm256_set1_epi8(0x0c);
    for (size_t i = 0; i < rows.fours(); i++) {
      const FourRows four = rows.at(i);
      Ymm total[4];
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { total[r] = _mm256_setzero_si256(); });
      for (size_t b0 = 0; b0 < blocks; b0 += kFlushBlocks) {
        const size_t b1 = smaller(blocks, b0 + kFlushBlocks);
        Ymm ones[4], fours[4];
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { ones[r] = fours[r] = _mm256_setzero_si256(); });
        for (size_t b = b0; b < b1; b++) {
          const int8_t* xb = x + b * 256;
          unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
            prefetch(four.next[r] + b * 64);
            unroll<2>([&](auto h) BITNET_INLINE_LAMBDA {
              const Ymm v = load(four.row[r] + b * 64 + 32 * h), s = _mm256_srli_epi16(v, 4);
              const Ymm f0 = _mm256_maddubs_epi16(_mm256_and_si256(v, low), load(xb + 32 * h));
              const Ymm f1 = _mm256_maddubs_epi16(_mm256_and_si256(v, high), load(xb + 64 + 32 * h));
              const Ymm f2 = _mm256_maddubs_epi16(_mm256_and_si256(s, low), load(xb + 128 + 32 * h));
              const Ymm f3 = _mm256_maddubs_epi16(_mm256_and_si256(s, high), load(xb + 192 + 32 * h));
              ones[r] = _mm256_add_epi16(ones[r], _mm256_add_epi16(f0, f2));
              fours[r] = _mm256_add_epi16(fours[r], _mm256_add_epi16(f1, f3));
            });
          });
        }
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
          total[r] = _mm256_add_epi32(total[r], _mm256_add_epi32(widen(ones[r]), _mm256_srai_epi32(widen(fours[r]), 2)));
        });
      }
      alignas(16) int32_t s[4];
      keep4(s, sum4(total[0], total[1], total[2], total[3]), sum);
      rows.put(i, s, y);
    }
  }

  template <int T>
  static BITNET_INLINE void tile_packed(const FourRows& four, size_t blocks, const int8_t* x, size_t stride,
                                        const int32_t* sums, int32_t* y, size_t ldy) {
    constexpr size_t kFlushBlocks = 5;  // 5 blocks * 8 steps * 768 = 30720
    Ymm total[T][4];
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { total[t][r] = _mm256_setzero_si256(); });
    });
    for (size_t b0 = 0; b0 < blocks; b0 += kFlushBlocks) {
      const size_t b1 = smaller(blocks, b0 + kFlushBlocks);
      Ymm a[T][4];
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { a[t][r] = _mm256_setzero_si256(); });
      });
      for (size_t b = b0; b < b1; b++) {
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { prefetch(four.next[r] + 64 * b); });
        unroll<2>([&](auto h) BITNET_INLINE_LAMBDA {
          unroll<4>([&](auto f) BITNET_INLINE_LAMBDA {
            Ymm w[4];
            unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
              w[r] = field<decltype(f)::value>(load(four.row[r] + 64 * b + 32 * h));
            });
            unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
              const Ymm v = load(x + t * stride + b * 256 + f * 64 + h * 32);
              unroll<4>([&](auto r) BITNET_INLINE_LAMBDA {
                a[t][r] = _mm256_add_epi16(a[t][r], _mm256_maddubs_epi16(w[r], v));
              });
            });
          });
        });
      }
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        unroll<4>([&](auto r) BITNET_INLINE_LAMBDA { total[t][r] = _mm256_add_epi32(total[t][r], widen(a[t][r])); });
      });
    }
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      keep4(y + t * ldy, sum4(total[t][0], total[t][1], total[t][2], total[t][3]), sums[t]);
    });
  }
};

}  // namespace

extern const TernaryKernel kAvx2I2s = {
    "avx2-i2s", "i2s", "avx2",
    "2-bit codes with vpmaddubsw into int16, widened to int32 before it can overflow.",
    kAvx2Level, i2s::packed_bytes, i2s::pack, byte_gemm_scratch, row_gemm<Avx2>, nullptr, nullptr, true,
    row_gemv_rows<Avx2>,
};

}  // namespace bitnet
