// T-MAC's bit planes with AVX2, for codes of 1 to 4 bits.
//
// Two planes of a row share a 16-bit lane, so that one vpmaddubsw with the planes' factors both widens the look-ups and
// combines the planes: per 32 look-ups (64 weights of two planes) 0.5 loads, 1.5 index, 1 pshufb, 1 vpmaddubsw, 1 vpaddw
// = 4.5, dense 2 more (high parts are added as bytes). The last plane of an odd number holds two rows in a lane and
// takes two vpmaddubsw. Table loads are shared by R tiles.
// Overflow: a lane takes 2 look-ups of each plane per block: 2 * 128 * (2^Planes - 1) a block; high parts are at most 2,
// so 31 blocks or 63 single look-ups fit a signed byte.
#include "kernels/avx2/tmac_table.h"
#include "kernels/avx2/ymm.h"
#include "kernels/tmac_gemm.inl"

namespace bitnet {
namespace {

template <int Planes>
struct Avx2Planes {
  using Groups = Fours;
  using Total = Ymm[2];  // sums of rows 0-7 and 8-15
  static constexpr int kTiles = 2, kBatchTiles = 1, kBatchTokens = 2;
  static constexpr int kVectors = Planes;  // 32-byte vectors of a block: two per pair of planes, one for an odd plane
  static constexpr size_t kHighFlush = 30, kSparseFlush = 60, kUnit = 2;
  static constexpr size_t kLowFlush = Planes == 1 ? 120 : Planes == 2 ? 40 : 32767 / (256 * ((1 << Planes) - 1));

  static BITNET_INLINE size_t tile_bytes(size_t columns) { return tmac_tile_bytes(columns, Planes); }

  static BITNET_INLINE Ymm nibble(Ymm v, bool high) {
    return _mm256_and_si256(high ? _mm256_srli_epi16(v, 4) : v, _mm256_set1_epi8(15));
  }

  // Adds look-ups of vector V to the sums of rows 0-7 and 8-15.
  template <int V>
  static BITNET_INLINE void add(Ymm (&sums)[2], Ymm e) {
    if constexpr (V == Planes - 1 && Planes % 2) {
      constexpr int factor = 1 << (Planes - 1);
      sums[0] = _mm256_add_epi16(sums[0], _mm256_maddubs_epi16(_mm256_set1_epi16(factor), e));
      sums[1] = _mm256_add_epi16(sums[1], _mm256_maddubs_epi16(_mm256_set1_epi16(factor << 8), e));
    } else {
      constexpr int factors = (1 << (V / 2 * 2)) | (2 << (V / 2 * 2)) << 8;
      sums[V % 2] = _mm256_add_epi16(sums[V % 2], _mm256_maddubs_epi16(_mm256_set1_epi16(factors), e));
    }
  }

  static BITNET_INLINE Ymm fold(Ymm v) {
    return _mm256_add_epi32(_mm256_cvtepi16_epi32(_mm256_castsi256_si128(v)),
                            _mm256_cvtepi16_epi32(_mm256_extracti128_si256(v, 1)));
  }

  static BITNET_INLINE void flush_high(Ymm (&total)[2], const Ymm (&high)[kVectors]) {
    Ymm sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    unroll<kVectors>([&](auto v) BITNET_INLINE_LAMBDA { add<decltype(v)::value>(sums, high[v]); });
    unroll<2>([&](auto h) BITNET_INLINE_LAMBDA {
      total[h] = _mm256_add_epi32(total[h], _mm256_slli_epi32(fold(sums[h]), 8));
    });
  }

  // Adds blocks first to last to total; without high parts unless Dense.
  template <int R, int T, bool Dense>
  static BITNET_INLINE void sweep(const uint8_t* w, size_t tile_bytes, size_t first, size_t last, const LutTable* tables,
                                  Ymm (&total)[T][R][2]) {
    constexpr size_t kFlush = Dense && kHighFlush < kLowFlush ? kHighFlush : kLowFlush;
    const Ymm zero = _mm256_setzero_si256();
    const uint8_t* p = w + first * 32 * Planes;
    for (size_t b0 = first; b0 < last; b0 += kFlush) {
      const size_t b1 = last < b0 + kFlush ? last : b0 + kFlush;
      Ymm low[T][R][2], high[T][R][kVectors];
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
          low[t][r][0] = low[t][r][1] = zero;
          unroll<kVectors>([&](auto v) BITNET_INLINE_LAMBDA { high[t][r][v] = zero; });
        });
      });
      for (size_t b = b0; b < b1; b++, p += 32 * Planes) {
        unroll<R>([&](auto r) BITNET_INLINE_LAMBDA { prefetch(p + r * tile_bytes + 2048); });
        unroll<2>([&](auto n) BITNET_INLINE_LAMBDA {
          Ymm low_table[T], high_table[T];
          unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
            low_table[t] = load(tables[t].low + b * 64 + 32 * n);
            if constexpr (Dense) high_table[t] = load(tables[t].high + b * 64 + 32 * n);
          });
          unroll<kVectors>([&](auto v) BITNET_INLINE_LAMBDA {
            unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
              const Ymm index = nibble(load(p + r * tile_bytes + 32 * v), decltype(n)::value);
              unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
                add<decltype(v)::value>(low[t][r], _mm256_shuffle_epi8(low_table[t], index));
                if constexpr (Dense) {
                  high[t][r][v] = _mm256_add_epi8(high[t][r][v], _mm256_shuffle_epi8(high_table[t], index));
                }
              });
            });
          });
        });
      }
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
          unroll<2>([&](auto h) BITNET_INLINE_LAMBDA {
            total[t][r][h] = _mm256_add_epi32(total[t][r][h], fold(low[t][r][h]));
          });
          if constexpr (Dense) flush_high(total[t][r], high[t][r]);
        });
      });
    }
  }

  // High parts of the units that have any: a unit is one nibble of a block's vectors.
  static BITNET_INLINE void sparse(const uint8_t* w, const LutTable& table, Ymm (&total)[2]) {
    for (size_t i0 = 0; i0 < table.wide_count; i0 += kSparseFlush) {
      const size_t i1 = table.wide_count < i0 + kSparseFlush ? table.wide_count : i0 + kSparseFlush;
      Ymm high[kVectors];
      unroll<kVectors>([&](auto v) BITNET_INLINE_LAMBDA { high[v] = _mm256_setzero_si256(); });
      for (size_t i = i0; i < i1; i++) {
        const size_t u = table.wide[i];
        const Ymm entries = load(table.high + u * 32);
        const __m128i shift = _mm_cvtsi32_si128(static_cast<int>(u % 2 * 4));
        unroll<kVectors>([&](auto v) BITNET_INLINE_LAMBDA {
          const Ymm c = _mm256_srl_epi16(load(w + u / 2 * 32 * Planes + 32 * v), shift);
          high[v] = _mm256_add_epi8(high[v], _mm256_shuffle_epi8(entries, nibble(c, false)));
        });
      }
      flush_high(total, high);
    }
  }

  // Adds R tiles x T tokens over blocks first to last to total.
  template <int R, int T>
  static BITNET_INLINE void add_blocks(const uint8_t* w, size_t tile_bytes, size_t first, size_t last,
                                       const LutTable* tables, Total (&total)[T][R]) {
    bool dense = false;
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { dense |= tables[t].dense; });
    if (dense) return sweep<R, T, true>(w, tile_bytes, first, last, tables, total);
    sweep<R, T, false>(w, tile_bytes, first, last, tables, total);
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA { sparse(w + r * tile_bytes, tables[t], total[t][r]); });
    });
  }

  template <int R, int T>
  static BITNET_INLINE void run(const uint8_t* w, size_t tile_bytes, size_t first, size_t last, const LutTable* tables,
                                const int32_t* sums, int32_t* y, size_t ldy) {
    Total total[T][R];
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
        const auto* out = reinterpret_cast<const Ymm*>(y + t * ldy + 16 * r);
        total[t][r][0] = first ? load(out) : _mm256_set1_epi32(-sums[t]);
        total[t][r][1] = first ? load(out + 1) : total[t][r][0];
      });
    });
    add_blocks<R, T>(w, tile_bytes, first, last, tables, total);
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
        auto* out = reinterpret_cast<Ymm*>(y + t * ldy + 16 * r);
        _mm256_storeu_si256(out, total[t][r][0]);
        _mm256_storeu_si256(out + 1, total[t][r][1]);
      });
    });
  }
};

}  // namespace
}  // namespace bitnet
