// TL1 and TL2 with AVX-512 VBMI and VNNI over the layout with one row a dword.
//
// vpermb looks up 64 bytes in 64: byte j of a row's dword in the table of group j of four, chosen by bits 4 and 5 of the
// index, which one vpternlogd sets while it cuts the nibble out. vpdpbusd by ones then adds the dword's four look-ups to
// the row's int32 sum: no widening, no flush, no overflow for any number of columns.
// Per 64 look-ups of TL1 (128 weights): half a load of weights, half a shift, 1 vpternlogd, 1 vpermb, 1 vpdpbusd = 3.5;
// dense 2 more. TL2 (192 weights): 1 more, a masked xor for the sign (-e = ~e + 1, the ones are counted per row when
// packing); dense 3 more.
#include "kernels/avx2/tmac_table.h"
#include "kernels/avx512/zmm.h"
#include "kernels/tmac_gemm.inl"

namespace bitnet {
namespace {

template <class G>
struct Avx512Dwords {
  using Groups = G;
  static constexpr int kTiles = 4, kBatchTiles = 4, kBatchTokens = 2;
  static constexpr size_t kUnit = 4;
  static constexpr bool kSigns = G::kGroup == 3;
  static constexpr int kStep = kSigns ? 4 : 1;
  static constexpr size_t kStepBytes = kSigns ? 320 : 64;

  static BITNET_INLINE size_t tile_bytes(size_t columns) {
    return kSigns ? tl2_tile_bytes(columns) : tl1_tile_bytes(columns);
  }

  // Low or high nibbles with their group in bits 4 and 5: (v & 15) | group.
  static BITNET_INLINE Zmm nibble(Zmm v, bool high) {
    return _mm512_ternarylogic_epi32(high ? _mm512_srli_epi16(v, 4) : v, _mm512_set1_epi8(15),
                                     _mm512_set1_epi32(0x30201000), 0xea);
  }

  static BITNET_INLINE __mmask64 signs(const uint8_t* super, size_t block, int n) {
    return *reinterpret_cast<const uint64_t*>(super + 256 + block * 16 + n * 8);
  }

  static BITNET_INLINE Zmm negate(Zmm e, __mmask64 k) { return _mm512_mask_sub_epi8(e, k, _mm512_setzero_si512(), e); }

  template <int R, int T, bool Dense>
  static BITNET_INLINE void sweep(const uint8_t* w, size_t tile_bytes, size_t first, size_t last, const LutTable* tables,
                                  Zmm (&total)[T][R]) {
    const Zmm ones = _mm512_set1_epi8(1), all = _mm512_set1_epi8(-1);
    Zmm low[T][R][2], high[T][R];
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
        low[t][r][0] = low[t][r][1] = high[t][r] = _mm512_setzero_si512();
      });
    });
    w += first / kStep * kStepBytes;
    for (size_t b = first; b < last; b += kStep, w += kStepBytes) {
      unroll<kStep>([&](auto q) BITNET_INLINE_LAMBDA {
        Zmm v[R];
        unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
          v[r] = load(w + r * tile_bytes + 64 * q);
          prefetch(w + r * tile_bytes + 64 * q + 2048);
        });
        unroll<2>([&](auto n) BITNET_INLINE_LAMBDA {
          Zmm low_table[T], high_table[T];
          unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
            low_table[t] = load(tables[t].low + (b + q) * 128 + 64 * n);
            if constexpr (Dense) high_table[t] = load(tables[t].high + (b + q) * 128 + 64 * n);
          });
          unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
            const Zmm index = nibble(v[r], decltype(n)::value);
            __mmask64 k = 0;
            if constexpr (kSigns) k = signs(w + r * tile_bytes, q, n);
            unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
              Zmm e = _mm512_permutexvar_epi8(index, low_table[t]);
              if constexpr (kSigns) e = _mm512_mask_sub_epi8(e, k, all, e);
              dot(low[t][r][n], ones, e);
              if constexpr (Dense) {
                Zmm f = _mm512_permutexvar_epi8(index, high_table[t]);
                if constexpr (kSigns) f = negate(f, k);
                dot(high[t][r], ones, f);
              }
            });
          });
        });
      });
    }
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
        total[t][r] = _mm512_add_epi32(total[t][r], _mm512_add_epi32(low[t][r][0], low[t][r][1]));
        if constexpr (Dense) total[t][r] = _mm512_add_epi32(total[t][r], _mm512_slli_epi32(high[t][r], 8));
      });
    });
  }

  // High parts of the units that have any: a unit is one nibble of 64 bytes.
  template <int R>
  static BITNET_INLINE void sparse(const uint8_t* w, size_t tile_bytes, const LutTable& table, Zmm (&total)[R]) {
    const Zmm ones = _mm512_set1_epi8(1);
    Zmm high[R];
    unroll<R>([&](auto r) BITNET_INLINE_LAMBDA { high[r] = _mm512_setzero_si512(); });
    for (size_t i = 0; i < table.wide_count; i++) {
      const size_t u = table.wide[i], b = u / 2;
      const uint8_t* p = w + b / kStep * kStepBytes;
      const Zmm entries = load(table.high + u * 64);
      const __m128i shift = _mm_cvtsi32_si128(static_cast<int>(u % 2 * 4));
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
        const Zmm v = _mm512_srl_epi16(load(p + r * tile_bytes + b % kStep * 64), shift);
        Zmm e = _mm512_permutexvar_epi8(nibble(v, false), entries);
        if constexpr (kSigns) e = negate(e, signs(p + r * tile_bytes, b % 4, static_cast<int>(u % 2)));
        dot(high[r], ones, e);
      });
    }
    unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
      total[r] = _mm512_add_epi32(total[r], _mm512_slli_epi32(high[r], 8));
    });
  }

  template <int R, int T>
  static BITNET_INLINE void run(const uint8_t* w, size_t tile_bytes, size_t first, size_t last, const LutTable* tables,
                                const int32_t*, int32_t* y, size_t ldy) {
    Zmm total[T][R];
    bool dense = false;
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
        total[t][r] = first ? load(y + t * ldy + 16 * r) : kSigns ? load(w + r * tile_bytes) : _mm512_setzero_si512();
      });
      dense |= tables[t].dense;
    });
    const uint8_t* body = w + (kSigns ? 64 : 0);
    if (dense) {
      sweep<R, T, true>(body, tile_bytes, first, last, tables, total);
    } else {
      sweep<R, T, false>(body, tile_bytes, first, last, tables, total);
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { sparse<R>(body, tile_bytes, tables[t], total[t]); });
    }
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA { _mm512_storeu_si512(y + t * ldy + 16 * r, total[t][r]); });
    });
  }
};

}  // namespace
}  // namespace bitnet
