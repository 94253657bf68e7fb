// T-MAC's bit planes with AVX-512 VBMI and VNNI, for codes of 1 to 4 bits.
//
// vpermb looks up a plane of 16 rows x 4 groups of four at a time, as in tl1_dwords.inl, and vpdpbusd by 2^plane adds each
// row's four look-ups to its int32 sum: all planes share accumulators, nothing needs widening, nothing can overflow.
// Per 64 look-ups (128 weights of two planes): half a load of weights, half a shift, 1 vpternlogd, 1 vpermb, 1 vpdpbusd =
// 3.5; dense 2 more. The planes of a block share its table.
#include "kernels/avx2/tmac_table.h"
#include "kernels/avx512/zmm.h"
#include "kernels/tmac_gemm.inl"

namespace bitnet {
namespace {

template <int Planes>
struct Avx512Planes {
  using Groups = Fours;
  using Total = Zmm;
  static constexpr int kTiles = 4, kBatchTiles = 4, kBatchTokens = 2;
  static constexpr size_t kUnit = 4;  // a block

  static BITNET_INLINE size_t tile_bytes(size_t columns) { return tmac_tile_bytes(columns, Planes); }

  // Low or high nibbles with their group in bits 4 and 5: (v & 15) | group.
  static BITNET_INLINE Zmm nibble(Zmm v, bool high) {
    return _mm512_ternarylogic_epi32(high ? _mm512_srli_epi16(v, 4) : v, _mm512_set1_epi8(15),
                                     _mm512_set1_epi32(0x30201000), 0xea);
  }

  // Adds `count` blocks (an even number) from first on to total; without high parts unless Dense.
  template <int R, int T, bool Dense>
  static BITNET_INLINE void sweep(const uint8_t* w, size_t tile_bytes, size_t first, size_t count, const LutTable* tables,
                                  Zmm (&total)[T][R]) {
    Zmm low[T][R][2], high[T][R];
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
        low[t][r][0] = total[t][r];
        low[t][r][1] = high[t][r] = _mm512_setzero_si512();
      });
    });
    w += first * 32 * Planes;
    for (size_t b = first; b < first + count; b += 2, w += 64 * Planes) {
      Zmm low_table[T], high_table[T];
      unroll<Planes>([&](auto c) BITNET_INLINE_LAMBDA {  // 64 bytes: slots 2c and 2c + 1 of two blocks
        Zmm v[R];
        unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
          v[r] = load(w + r * tile_bytes + 64 * c);
          prefetch(w + r * tile_bytes + 64 * c + 2048);
        });
        unroll<2>([&](auto n) BITNET_INLINE_LAMBDA {
          constexpr int slot = 2 * decltype(c)::value + decltype(n)::value, block = slot / Planes, plane = slot % Planes;
          const Zmm factor = _mm512_set1_epi8(1 << plane);
          if constexpr (plane == 0) {
            unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
              low_table[t] = load(tables[t].low + (b + block) * 64);
              if constexpr (Dense) high_table[t] = load(tables[t].high + (b + block) * 64);
            });
          }
          unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
            const Zmm index = nibble(v[r], decltype(n)::value);
            unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
              dot(low[t][r][n], factor, _mm512_permutexvar_epi8(index, low_table[t]));
              if constexpr (Dense) dot(high[t][r], factor, _mm512_permutexvar_epi8(index, high_table[t]));
            });
          });
        });
      });
    }
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
        total[t][r] = _mm512_add_epi32(low[t][r][0], low[t][r][1]);
        if constexpr (Dense) total[t][r] = _mm512_add_epi32(total[t][r], _mm512_slli_epi32(high[t][r], 8));
      });
    });
  }

  // High parts of the units (blocks) that have any.
  template <int R>
  static BITNET_INLINE void sparse(const uint8_t* w, size_t tile_bytes, const LutTable& table, LutWide wide,
                                   Zmm (&total)[R]) {
    Zmm high[R];
    unroll<R>([&](auto r) BITNET_INLINE_LAMBDA { high[r] = _mm512_setzero_si512(); });
    for (size_t i = 0; i < wide.count; i++) {
      const size_t b = wide.units[i];
      const Zmm entries = load(table.high + b * 64);
      unroll<Planes>([&](auto plane) BITNET_INLINE_LAMBDA {
        const size_t slot = b * Planes + plane;
        unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
          Zmm v = load(w + r * tile_bytes + slot / 2 * 64);
          if constexpr (Planes % 2) {
            v = slot % 2 ? nibble(v, true) : nibble(v, false);
          } else {
            v = nibble(v, decltype(plane)::value % 2);
          }
          dot(high[r], _mm512_set1_epi8(1 << decltype(plane)::value), _mm512_permutexvar_epi8(v, entries));
        });
      });
    }
    unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
      total[r] = _mm512_add_epi32(total[r], _mm512_slli_epi32(high[r], 8));
    });
  }

  // Adds R tiles x T tokens over `count` blocks (an even number) from first on to total; N: count where it is known, else 0.
  // Dense: high parts of all units, else of those in `wide`, of each token.
  template <int R, int T, int N>
  static BITNET_INLINE void add_blocks(const uint8_t* w, size_t tile_bytes, size_t first, size_t count,
                                       const LutTable* tables, const LutWide* wide, bool dense, Total (&total)[T][R]) {
    if (N > 0) count = N;
    if (dense) return sweep<R, T, true>(w, tile_bytes, first, count, tables, total);
    sweep<R, T, false>(w, tile_bytes, first, count, tables, total);
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      if (wide[t].count) sparse<R>(w, tile_bytes, tables[t], wide[t], total[t]);
    });
  }

  template <int R, int T>
  static BITNET_INLINE void run(const uint8_t* w, size_t tile_bytes, size_t first, size_t last, const LutTable* tables,
                                const int32_t* sums, int32_t* y, size_t ldy) {
    Total total[T][R];
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
        total[t][r] = first ? load(y + t * ldy + 16 * r)
                            : _mm512_set1_epi32(((1 << Planes) - 1) * tables[t].halves - sums[t]);
      });
    });
    LutWide wide[T];
    const bool dense = lut_wide(tables, wide);
    add_blocks<R, T, 0>(w, tile_bytes, first, last - first, tables, wide, dense, total);
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA { _mm512_storeu_si512(y + t * ldy + 16 * r, total[t][r]); });
    });
  }
};

}  // namespace
}  // namespace bitnet
