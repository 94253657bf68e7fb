// TL1 and TL2 with AVX2 over the layout with one row a byte: pshufb looks up 16 rows x 2 groups at a time.
//
// Low parts are stored as unsigned bytes (128 too large, subtracted once per row). Two rows share a 16-bit lane: one
// accumulator adds the lanes as they are, another the lanes' upper bytes; upper rows are the second, lower rows the first
// less 256 times the second. That is 3 operations to widen 32 look-ups. High parts are added as bytes.
// Counts in operations per 32 look-ups of TL1 (64 weights), beside half a load of weights and table loads that R tiles
// share: 1.5 index, 1 pshufb, 3 widening = 5.5; dense 2 more. TL2 (96 weights) needs 3 more for the sign (shift, compare,
// xor: -e = ~e + 1, the ones are counted per row when packing), dense 4 more.
// Overflow: a lane takes 4 look-ups of a row per block: 64 blocks * 4 * 255 < 2^16 for low parts. High parts are at most
// 1 (TL1: 31 blocks fit a signed byte) or 2 (TL2: 15 blocks; 63 single look-ups).
#include "kernels/avx2/tmac_table.h"
#include "kernels/avx2/ymm.h"
#include "kernels/tmac_gemm.inl"

namespace bitnet {
namespace {

template <class G>
struct Avx2Rows {
  using Groups = G;
  static constexpr int kTiles = 1, kBatchTiles = 1, kBatchTokens = 2;
  static constexpr size_t kUnit = 2;
  static constexpr bool kSigns = G::kGroup == 3;
  static constexpr int kStep = kSigns ? 4 : 1;  // blocks of one round of the loop
  static constexpr size_t kStepBytes = kSigns ? 320 : 64;
  static constexpr size_t kHighFlush = kSigns ? 12 : 30, kLowFlush = 60, kSparseFlush = 60;

  static BITNET_INLINE size_t tile_bytes(size_t columns) {
    return kSigns ? tl2_tile_bytes(columns) : tl1_tile_bytes(columns);
  }

  static BITNET_INLINE Ymm nibble(Ymm v, bool high) {
    return _mm256_and_si256(high ? _mm256_srli_epi16(v, 4) : v, _mm256_set1_epi8(15));
  }

  // Adds 2 x 8 (even rows, odd rows) sums of signed high bytes, times 256.
  static BITNET_INLINE void flush_high(Ymm* total, Ymm high) {
    const Ymm even = _mm256_srai_epi16(_mm256_slli_epi16(high, 8), 8), odd = _mm256_srai_epi16(high, 8);
    total[0] = _mm256_add_epi32(total[0], _mm256_slli_epi32(fold<true>(even), 8));
    total[1] = _mm256_add_epi32(total[1], _mm256_slli_epi32(fold<true>(odd), 8));
  }

  // Adds the two 128-bit halves, widened.
  template <bool Signed>
  static BITNET_INLINE Ymm fold(Ymm v) {
    const __m128i a = _mm256_castsi256_si128(v), b = _mm256_extracti128_si256(v, 1);
    return Signed ? _mm256_add_epi32(_mm256_cvtepi16_epi32(a), _mm256_cvtepi16_epi32(b))
                  : _mm256_add_epi32(_mm256_cvtepu16_epi32(a), _mm256_cvtepu16_epi32(b));
  }

  template <int R, int T, bool Dense>
  static BITNET_INLINE void sweep(const uint8_t* w, size_t tile_bytes, size_t first, size_t last, const LutTable* tables,
                                  Ymm (&total)[T][R][2]) {
    constexpr size_t kFlush = Dense ? kHighFlush : kLowFlush;
    const Ymm zero = _mm256_setzero_si256();
    const uint8_t* p = w + first / kStep * kStepBytes;
    for (size_t b0 = first; b0 < last; b0 += kFlush) {
      const size_t b1 = last < b0 + kFlush ? last : b0 + kFlush;
      Ymm words[T][R], upper[T][R], high[T][R];
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        unroll<R>([&](auto r) BITNET_INLINE_LAMBDA { words[t][r] = upper[t][r] = high[t][r] = zero; });
      });
      for (size_t b = b0; b < b1; b += kStep, p += kStepBytes) {
        unroll<kStep>([&](auto q) BITNET_INLINE_LAMBDA {
          unroll<R>([&](auto r) BITNET_INLINE_LAMBDA { prefetch(p + r * tile_bytes + 64 * q + 2048); });
          unroll<2>([&](auto h) BITNET_INLINE_LAMBDA {
            Ymm v[R];
            unroll<R>([&](auto r) BITNET_INLINE_LAMBDA { v[r] = load(p + r * tile_bytes + 64 * q + 32 * h); });
            unroll<2>([&](auto n) BITNET_INLINE_LAMBDA {
              Ymm index[R], mask[R];
              unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
                index[r] = nibble(v[r], decltype(n)::value);
                if constexpr (kSigns) {
                  constexpr int slot = 4 * (decltype(q)::value % 2) + 2 * decltype(h)::value + decltype(n)::value;
                  const Ymm s = load(p + r * tile_bytes + 256 + 32 * (q / 2));
                  mask[r] = _mm256_cmpgt_epi8(zero, slot ? _mm256_slli_epi16(s, slot) : s);
                }
              });
              unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
                const size_t at = (b + q) * 128 + 64 * h + 32 * n;
                const Ymm low_table = load(tables[t].low + at);
                Ymm high_table;
                if constexpr (Dense) high_table = load(tables[t].high + at);
                unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
                  Ymm e = _mm256_shuffle_epi8(low_table, index[r]);
                  if constexpr (kSigns) e = _mm256_xor_si256(e, mask[r]);
                  words[t][r] = _mm256_add_epi16(words[t][r], e);
                  upper[t][r] = _mm256_add_epi16(upper[t][r], _mm256_srli_epi16(e, 8));
                  if constexpr (Dense) {
                    Ymm f = _mm256_shuffle_epi8(high_table, index[r]);
                    if constexpr (kSigns) f = _mm256_sub_epi8(_mm256_xor_si256(f, mask[r]), mask[r]);
                    high[t][r] = _mm256_add_epi8(high[t][r], f);
                  }
                });
              });
            });
          });
        });
      }
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
          const Ymm even = _mm256_sub_epi16(words[t][r], _mm256_slli_epi16(upper[t][r], 8));
          total[t][r][0] = _mm256_add_epi32(total[t][r][0], fold<false>(even));
          total[t][r][1] = _mm256_add_epi32(total[t][r][1], fold<false>(upper[t][r]));
          if constexpr (Dense) flush_high(total[t][r], high[t][r]);
        });
      });
    }
  }

  // High parts of the units that have any: a unit is one nibble of 32 bytes.
  static BITNET_INLINE void sparse(const uint8_t* w, const LutTable& table, Ymm (&total)[2]) {
    const Ymm zero = _mm256_setzero_si256();
    for (size_t i0 = 0; i0 < table.wide_count; i0 += kSparseFlush) {
      const size_t i1 = table.wide_count < i0 + kSparseFlush ? table.wide_count : i0 + kSparseFlush;
      Ymm high = zero;
      for (size_t i = i0; i < i1; i++) {
        const size_t u = table.wide[i], b = u / 4;
        const uint8_t* p = w + b / kStep * kStepBytes;
        const Ymm v = _mm256_srl_epi16(load(p + b % kStep * 64 + u / 2 % 2 * 32),
                                       _mm_cvtsi32_si128(static_cast<int>(u % 2 * 4)));
        Ymm e = _mm256_shuffle_epi8(load(table.high + u * 32), nibble(v, false));
        if constexpr (kSigns) {
          const Ymm s = _mm256_sll_epi16(load(p + 256 + u / 8 % 2 * 32), _mm_cvtsi32_si128(static_cast<int>(u % 8)));
          const Ymm mask = _mm256_cmpgt_epi8(zero, s);
          e = _mm256_sub_epi8(_mm256_xor_si256(e, mask), mask);
        }
        high = _mm256_add_epi8(high, e);
      }
      flush_high(total, high);
    }
  }

  template <int R, int T>
  static BITNET_INLINE void run(const uint8_t* w, size_t tile_bytes, size_t first, size_t last, const LutTable* tables,
                                const int32_t*, int32_t* y, size_t ldy) {
    Ymm total[T][R][2];
    bool dense = false;
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA { total[t][r][0] = total[t][r][1] = _mm256_setzero_si256(); });
      dense |= tables[t].dense;
    });
    const uint8_t* body = w + (kSigns ? 64 : 0);
    if (dense) {
      sweep<R, T, true>(body, tile_bytes, first, last, tables, total);
    } else {
      sweep<R, T, false>(body, tile_bytes, first, last, tables, total);
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        unroll<R>([&](auto r) BITNET_INLINE_LAMBDA { sparse(body + r * tile_bytes, tables[t], total[t][r]); });
      });
    }
    const Ymm bias = _mm256_set1_epi32(static_cast<int>((last - first) * G::kGroups * 128));
    unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
      Ymm add0 = _mm256_sub_epi32(_mm256_setzero_si256(), bias), add1 = add0;
      if (kSigns && first == 0) {
        add0 = _mm256_add_epi32(add0, load(w + r * tile_bytes));
        add1 = _mm256_add_epi32(add1, load(w + r * tile_bytes + 32));
      }
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        const Ymm a = _mm256_unpacklo_epi32(total[t][r][0], total[t][r][1]);
        const Ymm b = _mm256_unpackhi_epi32(total[t][r][0], total[t][r][1]);
        auto* out = reinterpret_cast<Ymm*>(y + t * ldy + 16 * r);
        Ymm y0 = _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), add0);
        Ymm y1 = _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x31), add1);
        if (first) {
          y0 = _mm256_add_epi32(y0, load(out));
          y1 = _mm256_add_epi32(y1, load(out + 1));
        }
        _mm256_storeu_si256(out, y0);
        _mm256_storeu_si256(out + 1, y1);
      });
    });
  }
};

}  // namespace
}  // namespace bitnet
