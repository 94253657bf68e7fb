// avx2-tl1: pairs looked up with pshufb, exact. Layout tl1::pack_rows, one row a byte: 16 rows x 2 groups at a time.
//
// Low parts are stored as unsigned bytes (128 too large, subtracted once per row). Two rows share a 16-bit lane: one
// accumulator adds the lanes as they are, another the lanes' upper bytes; upper rows are the second, lower rows the first
// less 256 times the second. That is 3 operations to widen 32 look-ups. High parts are added as bytes.
// In operations per 32 look-ups (64 weights), beside half a load of weights and a table load: 1.5 index, 1 pshufb, 3
// widening = 5.5; dense 2 more.
// Overflow: a lane takes 4 look-ups of a row per block: 60 blocks * 4 * 255 < 2^16 for low parts. High parts are at most 1:
// 30 blocks fit a signed byte.
#include "kernels/avx2/tmac_table.h"
#include "kernels/avx2/ymm.h"
#include "kernels/registry.h"
#include "kernels/tmac_gemm.inl"

namespace bitnet {
namespace {

struct Avx2Pairs {
  using Groups = Pairs;
  static constexpr int kTiles = 1, kBatchTiles = 1, kBatchTokens = 2;
  static constexpr size_t kUnit = 2;
  static constexpr size_t kHighFlush = 30, kLowFlush = 60, kSparseFlush = 60;

  static BITNET_INLINE size_t tile_bytes(size_t columns) { return tl1_tile_bytes(columns); }

  static BITNET_INLINE Ymm nibble(Ymm v, bool high) {
    return _mm256_and_si256(high ? _mm256_srli_epi16(v, 4) : v, _mm256_set1_epi8(15));
  }

  // Adds the two 128-bit halves, widened.
  template <bool Signed>
  static BITNET_INLINE Ymm fold(Ymm v) {
    const __m128i a = _mm256_castsi256_si128(v), b = _mm256_extracti128_si256(v, 1);
    return Signed ? _mm256_add_epi32(_mm256_cvtepi16_epi32(a), _mm256_cvtepi16_epi32(b))
                  : _mm256_add_epi32(_mm256_cvtepu16_epi32(a), _mm256_cvtepu16_epi32(b));
  }

  // Adds 2 x 8 (even rows, odd rows) sums of signed high bytes, times 256.
  static BITNET_INLINE void flush_high(Ymm (&total)[2], Ymm high) {
    const Ymm even = _mm256_srai_epi16(_mm256_slli_epi16(high, 8), 8), odd = _mm256_srai_epi16(high, 8);
    total[0] = _mm256_add_epi32(total[0], _mm256_slli_epi32(fold<true>(even), 8));
    total[1] = _mm256_add_epi32(total[1], _mm256_slli_epi32(fold<true>(odd), 8));
  }

  // T tokens over blocks first to last; without high parts unless Dense.
  template <int T, bool Dense>
  static BITNET_INLINE void sweep(const uint8_t* w, size_t first, size_t last, const LutTable* tables, Ymm (&total)[T][2]) {
    constexpr size_t kFlush = Dense ? kHighFlush : kLowFlush;
    const uint8_t* p = w + first * 64;
    for (size_t b0 = first; b0 < last; b0 += kFlush) {
      const size_t b1 = last < b0 + kFlush ? last : b0 + kFlush;
      Ymm words[T], upper[T], high[T];
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { words[t] = upper[t] = high[t] = _mm256_setzero_si256(); });
      for (size_t b = b0; b < b1; b++, p += 64) {
        prefetch(p + 2048);
        unroll<2>([&](auto h) BITNET_INLINE_LAMBDA {
          const Ymm v = load(p + 32 * h);
          unroll<2>([&](auto n) BITNET_INLINE_LAMBDA {
            no_loads_ahead();
            const Ymm index = nibble(v, decltype(n)::value);
            unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
              const size_t at = b * 128 + 64 * h + 32 * n;
              const Ymm e = _mm256_shuffle_epi8(load(tables[t].low + at), index);
              words[t] = _mm256_add_epi16(words[t], e);
              upper[t] = _mm256_add_epi16(upper[t], _mm256_srli_epi16(e, 8));
              if constexpr (Dense) {
                high[t] = _mm256_add_epi8(high[t], _mm256_shuffle_epi8(load(tables[t].high + at), index));
              }
            });
          });
        });
      }
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        const Ymm even = _mm256_sub_epi16(words[t], _mm256_slli_epi16(upper[t], 8));
        total[t][0] = _mm256_add_epi32(total[t][0], fold<false>(even));
        total[t][1] = _mm256_add_epi32(total[t][1], fold<false>(upper[t]));
        if constexpr (Dense) flush_high(total[t], high[t]);
      });
    }
  }

  // High parts of the units that have any: a unit is one nibble of 32 bytes.
  static BITNET_INLINE void sparse(const uint8_t* w, const LutTable& table, Ymm (&total)[2]) {
    for (size_t i0 = 0; i0 < table.wide_count; i0 += kSparseFlush) {
      const size_t i1 = table.wide_count < i0 + kSparseFlush ? table.wide_count : i0 + kSparseFlush;
      Ymm high = _mm256_setzero_si256();
      for (size_t i = i0; i < i1; i++) {
        const size_t u = table.wide[i];
        const Ymm v = _mm256_srl_epi16(load(w + u / 2 * 32), _mm_cvtsi32_si128(static_cast<int>(u % 2 * 4)));
        high = _mm256_add_epi8(high, _mm256_shuffle_epi8(load(table.high + u * 32), nibble(v, false)));
      }
      flush_high(total, high);
    }
  }

  template <int R, int T>
  static BITNET_INLINE void run(const uint8_t* w, size_t, size_t first, size_t last, const LutTable* tables, const int32_t*,
                                int32_t* y, size_t ldy) {
    static_assert(R == 1, "one tile at a time");
    Ymm total[T][2];
    bool dense = false;
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      total[t][0] = total[t][1] = _mm256_set1_epi32(-static_cast<int>((last - first) * Pairs::kGroups * 128));
      dense |= tables[t].dense;
    });
    if (dense) {
      sweep<T, true>(w, first, last, tables, total);
    } else {
      sweep<T, false>(w, first, last, tables, total);
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { sparse(w, tables[t], total[t]); });
    }
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { store_rows(total[t], y + t * ldy, first != 0); });
  }
};

void build_table(const int8_t* values, size_t columns, void* table) {
  lut_build_table<Pairs, LutTableAvx2<0x80, 2>>(values, columns, table);
}

}  // namespace

extern const TernaryKernel kAvx2Tl1 = {
    "avx2-tl1", "tl1", "avx2", "Pairs looked up with pshufb in tables of 9 exact sums, 16 rows x 2 pairs at a time.",
    kAvx2Level, tl1::packed_bytes, tl1::pack_rows, lut_no_scratch, lut_gemm<Avx2Pairs>, tl1::table_bytes, build_table,
};

}  // namespace bitnet
