// avx2-tl2: triples looked up with pshufb, exact, 1.67 bits a weight. Layout tl2::pack_rows: one row a byte.
//
// A sum of three activations, at most 384 in size, is split as 63 * high + low with |low| <= 31 and |high| <= 6. Both change
// their sign with it, and both are added as bytes: four look-ups of low parts (a block) and sixteen of high parts (four
// blocks) stay below 127 before they must be widened. So the work is the same for all activations, unlike with the split by
// 256 of tmac_lut.h, whose high parts are mostly but not always zero.
// In operations per 32 look-ups (96 weights), beside a load of the table's two parts and half a load of weights: 1.5 index,
// 1.2 sign (a look-up too: four signs are an index), 2 pshufb, 2 vpsignb, 2 vpaddb, 1.2 widening = 9.9.
#include "kernels/avx2/tmac_table.h"
#include "kernels/avx2/ymm.h"
#include "kernels/registry.h"
#include "kernels/tmac_gemm.inl"

namespace bitnet {
namespace {

constexpr int kHigh = 63;

// tmac_lut.h's table with another split and no list of wide units.
struct TriplesTable {
  static constexpr size_t kUnit = 2;

  template <class G>
  static BITNET_INLINE uint32_t entries(const int8_t* x, uint8_t* low, uint8_t* high) {
    for (size_t g = 0; g < G::kGroups; g += 2) {
      const Ymm a = LutTableAvx2<0, 2>::group<G>(x + g * G::kGroup), b = LutTableAvx2<0, 2>::group<G>(x + (g + 1) * G::kGroup);
      // round(e / 63) for |e| <= 384, up to remainders of 31
      const Ymm reciprocal = _mm256_set1_epi16(520), sixty_three = _mm256_set1_epi16(kHigh);
      const Ymm high_a = _mm256_mulhrs_epi16(a, reciprocal), high_b = _mm256_mulhrs_epi16(b, reciprocal);
      const Ymm low_a = _mm256_sub_epi16(a, _mm256_mullo_epi16(high_a, sixty_three));
      const Ymm low_b = _mm256_sub_epi16(b, _mm256_mullo_epi16(high_b, sixty_three));
      _mm256_storeu_si256(reinterpret_cast<Ymm*>(low + 16 * g), _mm256_permute4x64_epi64(_mm256_packs_epi16(low_a, low_b), 0xd8));
      _mm256_storeu_si256(reinterpret_cast<Ymm*>(high + 16 * g),
                          _mm256_permute4x64_epi64(_mm256_packs_epi16(high_a, high_b), 0xd8));
    }
    return 0;
  }
};

// Sums of bytes of 16 rows x 2 groups, widened: rows 2i and 2i + 1 share a 16-bit lane.
struct Words {
  Ymm even, odd;

  BITNET_INLINE void clear() { even = odd = _mm256_setzero_si256(); }
  BITNET_INLINE void add(Ymm bytes) {
    even = _mm256_add_epi16(even, _mm256_maddubs_epi16(_mm256_set1_epi16(1), bytes));
    odd = _mm256_add_epi16(odd, _mm256_maddubs_epi16(_mm256_set1_epi16(256), bytes));
  }
};

struct Avx2Triples {
  using Groups = Triples;
  static constexpr int kTiles = 1, kBatchTiles = 1, kBatchTokens = 2;
  static constexpr size_t kUnit = 2;
  static constexpr size_t kFlush = 240;  // blocks * 4 * 31 < 2^15, and a multiple of 4

  static BITNET_INLINE size_t tile_bytes(size_t columns) { return tl2_tile_bytes(columns); }

  // -1 or +1 for look-up `slot` of a block, from the block's four signs in the low half of each byte.
  template <int Slot>
  static BITNET_INLINE Ymm sign(Ymm four) {
    constexpr auto s = [](int signs) { return static_cast<char>(signs >> (3 - Slot) & 1 ? -1 : 1); };
    return _mm256_shuffle_epi8(_mm256_setr_epi8(s(0), s(1), s(2), s(3), s(4), s(5), s(6), s(7), s(8), s(9), s(10), s(11),
                                                s(12), s(13), s(14), s(15), s(0), s(1), s(2), s(3), s(4), s(5), s(6), s(7),
                                                s(8), s(9), s(10), s(11), s(12), s(13), s(14), s(15)),
                               four);
  }

  // The two 128-bit halves, groups of the same rows, added and widened.
  static BITNET_INLINE Ymm fold(Ymm v) {
    return _mm256_add_epi32(_mm256_cvtepi16_epi32(_mm256_castsi256_si128(v)),
                            _mm256_cvtepi16_epi32(_mm256_extracti128_si256(v, 1)));
  }

  // T tokens over blocks first to last, multiples of 4: total[t] = sums of even and odd rows.
  template <int T>
  static BITNET_INLINE void sweep(const uint8_t* w, size_t first, size_t last, const LutTable* tables, Ymm (&total)[T][2]) {
    const Ymm nibble = _mm256_set1_epi8(15);
    const uint8_t* p = w + first / 4 * 320;
    for (size_t b0 = first; b0 < last; b0 += kFlush) {
      const size_t b1 = last < b0 + kFlush ? last : b0 + kFlush;
      Words low[T], high[T];
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        low[t].clear();
        high[t].clear();
      });
      for (size_t b = b0; b < b1; b += 4, p += 320) {
        Ymm high_bytes[T];
        unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { high_bytes[t] = _mm256_setzero_si256(); });
        unroll<4>([&](auto q) BITNET_INLINE_LAMBDA {
          const uint8_t* block = p + 64 * q;
          prefetch(block + 2048);
          Ymm signs = load(p + 256 + 32 * (q / 2));
          if constexpr (decltype(q)::value % 2 == 0) signs = _mm256_srli_epi16(signs, 4);
          signs = _mm256_and_si256(signs, nibble);
          Ymm low_bytes[T];
          unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { low_bytes[t] = _mm256_setzero_si256(); });
          unroll<2>([&](auto h) BITNET_INLINE_LAMBDA {
            const Ymm v = load(block + 32 * h);
            unroll<2>([&](auto n) BITNET_INLINE_LAMBDA {
              constexpr int slot = 2 * decltype(h)::value + decltype(n)::value;
              const Ymm index = _mm256_and_si256(decltype(n)::value ? _mm256_srli_epi16(v, 4) : v, nibble);
              const Ymm s = sign<slot>(signs);
              const size_t at = (b + q) * 128 + 32 * slot;
              unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
                const Ymm l = _mm256_shuffle_epi8(load(tables[t].low + at), index);
                const Ymm u = _mm256_shuffle_epi8(load(tables[t].high + at), index);
                low_bytes[t] = _mm256_add_epi8(low_bytes[t], _mm256_sign_epi8(l, s));
                high_bytes[t] = _mm256_add_epi8(high_bytes[t], _mm256_sign_epi8(u, s));
              });
            });
          });
          unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { low[t].add(low_bytes[t]); });
        });
        unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { high[t].add(high_bytes[t]); });
      }
      const Ymm factor = _mm256_set1_epi32(kHigh);
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        total[t][0] = _mm256_add_epi32(total[t][0], _mm256_add_epi32(fold(low[t].even),
                                                                     _mm256_mullo_epi32(fold(high[t].even), factor)));
        total[t][1] = _mm256_add_epi32(total[t][1], _mm256_add_epi32(fold(low[t].odd),
                                                                     _mm256_mullo_epi32(fold(high[t].odd), factor)));
      });
    }
  }

  template <int R, int T>
  static BITNET_INLINE void run(const uint8_t* w, size_t, size_t first, size_t last, const LutTable* tables, const int32_t*,
                                int32_t* y, size_t ldy) {
    static_assert(R == 1, "one tile at a time");
    Ymm total[T][2];
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { total[t][0] = total[t][1] = _mm256_setzero_si256(); });
    sweep<T>(w + 64, first, last, tables, total);
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { store_rows(total[t], y + t * ldy, first != 0); });
  }
};

void build_table(const int8_t* values, size_t columns, void* table) {
  lut_build_table<Triples, TriplesTable>(values, columns, table);
}

}  // namespace

extern const TernaryKernel kAvx2Tl2 = {
    "avx2-tl2", "tl2", "avx2",
    "Triples looked up with pshufb in two tables of 14 bytes, given their sign, exact: 1.67 bits a weight.",
    kAvx2Level, tl2::packed_bytes, tl2::pack_rows, lut_no_scratch, lut_gemm<Avx2Triples>, tl2::table_bytes, build_table,
};

}  // namespace bitnet
