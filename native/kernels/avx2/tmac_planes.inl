// T-MAC's bit planes with AVX2, for codes of 1 to 4 bits.
//
// Two planes of a row share a 16-bit lane, so that one vpmaddubsw with the planes' factors both widens the look-ups and
// combines the planes; a register holds 16 rows' look-ups of one four, whose table both halves share, so that all planes and
// fours of a tile add to one register. Per 32 look-ups (64 weights of two planes) 0.5 loads, 1.5 index, 1 pshufb, 1
// vpmaddubsw, 1 vpaddw = 4.5, dense 2 more (high parts are added as bytes). The last plane of an odd number holds two rows
// in a lane and two fours in a register, and takes two vpmaddubsw. Table loads are shared by R tiles; a tile takes 1 or 2
// registers, dense 2 to 4, so that nothing is spilled.
// Overflow: a lane takes 4 look-ups of each plane per block: 4 * 128 * (2^Planes - 1) a block; high parts are at most 1, so
// 31 blocks or 60 single look-ups fit a signed byte.
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
  static constexpr int kPairs = Planes / 2;
  static constexpr bool kOdd = Planes % 2;
  static constexpr size_t kHighFlush = 30, kSparseFlush = 60, kUnit = 2;
  static constexpr size_t kLowFlush = 32767 / (512 * ((1 << Planes) - 1));

  // Sums of 16-bit lanes: of the pairs of planes, one lane a row, and of the odd plane, its low and its high bytes.
  struct Words {
    Ymm pairs, odd[2];
  };
  // Sums of bytes.
  struct Bytes {
    Ymm pairs[kPairs + 1], odd;
  };

  static BITNET_INLINE size_t tile_bytes(size_t columns) { return tmac_tile_bytes(columns, Planes); }

  static BITNET_INLINE Ymm nibble(Ymm v, bool high) {
    return _mm256_and_si256(high ? _mm256_srli_epi16(v, 4) : v, _mm256_set1_epi8(15));
  }
  static BITNET_INLINE Ymm both(const uint8_t* p) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }

  static BITNET_INLINE void clear(Words& sums) { sums.pairs = sums.odd[0] = sums.odd[1] = _mm256_setzero_si256(); }
  static BITNET_INLINE void clear(Bytes& sums) {
    unroll<kPairs>([&](auto v) BITNET_INLINE_LAMBDA { sums.pairs[v] = _mm256_setzero_si256(); });
    sums.odd = _mm256_setzero_si256();
  }

  // Adds bytes of pair V of planes, or of the odd plane.
  template <int V>
  static BITNET_INLINE void add_pair(Words& sums, Ymm e) {
    constexpr int factors = (1 << (2 * V)) | (2 << (2 * V)) << 8;
    sums.pairs = _mm256_add_epi16(sums.pairs, _mm256_maddubs_epi16(_mm256_set1_epi16(factors), e));
  }
  static BITNET_INLINE void add_odd(Words& sums, Ymm e) {
    constexpr int factor = 1 << (Planes - 1);
    sums.odd[0] = _mm256_add_epi16(sums.odd[0], _mm256_maddubs_epi16(_mm256_set1_epi16(factor), e));
    sums.odd[1] = _mm256_add_epi16(sums.odd[1], _mm256_maddubs_epi16(_mm256_set1_epi16(factor << 8), e));
  }

  // One lane a row: rows 0-3, 8-11 | 4-7, 12-15.
  static BITNET_INLINE Ymm rows(const Words& sums) {
    if constexpr (!kOdd) return sums.pairs;
    return _mm256_add_epi16(sums.pairs, _mm256_add_epi16(_mm256_permute2x128_si256(sums.odd[0], sums.odd[1], 0x20),
                                                         _mm256_permute2x128_si256(sums.odd[0], sums.odd[1], 0x31)));
  }
  static BITNET_INLINE Ymm rows(const Bytes& sums) {
    Words words;
    clear(words);
    unroll<kPairs>([&](auto v) BITNET_INLINE_LAMBDA { add_pair<decltype(v)::value>(words, sums.pairs[v]); });
    if constexpr (kOdd) add_odd(words, sums.odd);
    return rows(words);
  }

  static BITNET_INLINE void flush(Ymm (&total)[2], const Words& low) {
    const Ymm v = rows(low);
    total[0] = _mm256_add_epi32(total[0], _mm256_srai_epi32(_mm256_unpacklo_epi16(v, v), 16));
    total[1] = _mm256_add_epi32(total[1], _mm256_srai_epi32(_mm256_unpackhi_epi16(v, v), 16));
  }
  static BITNET_INLINE void flush(Ymm (&total)[2], const Words& low, const Bytes& high) {
    const Ymm v = rows(low), h = rows(high), factors = _mm256_set1_epi32(1 | 256 << 16);
    total[0] = _mm256_add_epi32(total[0], _mm256_madd_epi16(_mm256_unpacklo_epi16(v, h), factors));
    total[1] = _mm256_add_epi32(total[1], _mm256_madd_epi16(_mm256_unpackhi_epi16(v, h), factors));
  }

  // Adds block b, whose weights stand at p.
  template <int R, int T, bool Dense>
  static BITNET_INLINE void add_block(const uint8_t* p, size_t tile_bytes, size_t b, const LutTable* tables,
                                      Words (&low)[T][R], Bytes (&high)[T][R]) {
    unroll<R>([&](auto r) BITNET_INLINE_LAMBDA { prefetch(p + r * tile_bytes + 2048); });
    if constexpr (kPairs > 0) {
      unroll<4>([&](auto g) BITNET_INLINE_LAMBDA {
        Ymm low_table[T], high_table[T];
        unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
          low_table[t] = both(tables[t].low + b * 64 + 16 * g);
          if constexpr (Dense) high_table[t] = both(tables[t].high + b * 64 + 16 * g);
        });
        unroll<kPairs>([&](auto v) BITNET_INLINE_LAMBDA {
          unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
            const Ymm index = nibble(load(p + r * tile_bytes + 64 * v + 32 * (g / 2)), decltype(g)::value % 2);
            unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
              add_pair<decltype(v)::value>(low[t][r], _mm256_shuffle_epi8(low_table[t], index));
              if constexpr (Dense) {
                high[t][r].pairs[v] = _mm256_add_epi8(high[t][r].pairs[v], _mm256_shuffle_epi8(high_table[t], index));
              }
            });
          });
        });
      });
    }
    if constexpr (kOdd) {
      unroll<2>([&](auto n) BITNET_INLINE_LAMBDA {
        unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
          const Ymm index = nibble(load(p + r * tile_bytes + 64 * kPairs), decltype(n)::value);
          unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
            add_odd(low[t][r], _mm256_shuffle_epi8(load(tables[t].low + b * 64 + 32 * n), index));
            if constexpr (Dense) {
              const Ymm high_table = load(tables[t].high + b * 64 + 32 * n);
              high[t][r].odd = _mm256_add_epi8(high[t][r].odd, _mm256_shuffle_epi8(high_table, index));
            }
          });
        });
      });
    }
  }

  // Adds `count` blocks from first on to total; without high parts unless Dense. N: count where it is known, else 0.
  template <int R, int T, bool Dense, int N>
  static BITNET_INLINE void sweep(const uint8_t* w, size_t tile_bytes, size_t first, size_t count, const LutTable* tables,
                                  Ymm (&total)[T][R][2]) {
    constexpr size_t kFlush = Dense && kHighFlush < kLowFlush ? kHighFlush : kLowFlush;
    static_assert(N <= kFlush, "one sum of words");
    const uint8_t* p = w + first * 32 * Planes;
    for (size_t b0 = 0; b0 < count; b0 += kFlush) {
      const size_t n = count - b0 < kFlush ? count - b0 : kFlush;
      Words low[T][R];
      Bytes high[T][R];
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
          clear(low[t][r]);
          clear(high[t][r]);
        });
      });
      if constexpr (N > 0) {
        unroll<N>([&](auto i) BITNET_INLINE_LAMBDA {
          add_block<R, T, Dense>(p + i * 32 * Planes, tile_bytes, first + i, tables, low, high);
        });
      } else {
        for (size_t i = 0; i < n; i++, p += 32 * Planes) {
          add_block<R, T, Dense>(p, tile_bytes, first + b0 + i, tables, low, high);
        }
      }
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
          if constexpr (Dense) {
            flush(total[t][r], low[t][r], high[t][r]);
          } else {
            flush(total[t][r], low[t][r]);
          }
        });
      });
    }
  }

  // High parts of the units that have any: a unit is two fours of a block.
  static BITNET_INLINE void sparse(const uint8_t* w, const LutTable& table, LutWide wide, Ymm (&total)[2]) {
    Words low;
    clear(low);
    for (size_t i0 = 0; i0 < wide.count; i0 += kSparseFlush) {
      const size_t i1 = wide.count < i0 + kSparseFlush ? wide.count : i0 + kSparseFlush;
      Bytes high;
      clear(high);
      for (size_t i = i0; i < i1; i++) {
        const size_t u = wide.units[i];
        const uint8_t *p = w + u / 2 * 32 * Planes, *entries = table.high + u * 32;
        unroll<kPairs>([&](auto v) BITNET_INLINE_LAMBDA {
          const Ymm c = load(p + 64 * v + u % 2 * 32);
          const Ymm e = _mm256_add_epi8(_mm256_shuffle_epi8(both(entries), nibble(c, false)),
                                        _mm256_shuffle_epi8(both(entries + 16), nibble(c, true)));
          high.pairs[v] = _mm256_add_epi8(high.pairs[v], e);
        });
        if constexpr (kOdd) {
          const __m128i shift = _mm_cvtsi32_si128(static_cast<int>(u % 2 * 4));
          const Ymm index = nibble(_mm256_srl_epi16(load(p + 64 * kPairs), shift), false);
          high.odd = _mm256_add_epi8(high.odd, _mm256_shuffle_epi8(load(entries), index));
        }
      }
      flush(total, low, high);
    }
  }

  // Adds R tiles x T tokens over `count` blocks from first on to total; N as in sweep. Dense: high parts of all units, else
  // of those in `wide`, of each token.
  template <int R, int T, int N>
  static BITNET_INLINE void add_blocks(const uint8_t* w, size_t tile_bytes, size_t first, size_t count,
                                       const LutTable* tables, const LutWide* wide, bool dense, Total (&total)[T][R]) {
    if (dense) return sweep<R, T, true, N>(w, tile_bytes, first, count, tables, total);
    sweep<R, T, false, N>(w, tile_bytes, first, count, tables, total);
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      if (!wide[t].count) return;
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA { sparse(w + r * tile_bytes, tables[t], wide[t], total[t][r]); });
    });
  }

  template <int R, int T>
  static BITNET_INLINE void run(const uint8_t* w, size_t tile_bytes, size_t first, size_t last, const LutTable* tables,
                                const int32_t* sums, int32_t* y, size_t ldy) {
    Total total[T][R];
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
        const auto* out = reinterpret_cast<const Ymm*>(y + t * ldy + 16 * r);
        total[t][r][0] = first ? load(out) : _mm256_set1_epi32(((1 << Planes) - 1) * tables[t].halves - sums[t]);
        total[t][r][1] = first ? load(out + 1) : total[t][r][0];
      });
    });
    LutWide wide[T];
    const bool dense = lut_wide(tables, wide);
    add_blocks<R, T, 0>(w, tile_bytes, first, last - first, tables, wide, dense, total);
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
