// TL1, TL2 and T-MAC's bit planes with NEON over the layouts with one row a byte: tbl looks up 16 rows of one group.
//
// A quad is 32 bytes: four groups of one plane. Low parts widen with two saddw into int16, high parts are added as bytes.
// Per 16 look-ups of TL1 (32 weights) or T-MAC (64 weights of one plane): half a load of weights, 1 and or shift, 1 tbl,
// 2 saddw = 4 and a table load that two tiles share; dense 2 more. TL2 (48 weights): 3 more for the sign (shift, compare,
// xor: -e = ~e + 1, the ones are counted per row when packing), dense 4 more. Multiply-add at this level (neon-i2s) takes
// 0.21 operations a weight; TL1 0.125, TL2 0.146, two planes of T-MAC 0.125.
// Overflow: a plane's lane takes up to 8 low parts a block (TL1, TL2), of at most 128: 31 blocks. High parts are at most 1
// (TL1: 15 blocks of 8 fit a signed byte; T-MAC: 31 blocks of 4) or 2 (TL2: 7 blocks of 8, so 4).
#include "kernels/neon/qreg.h"

#include "kernels/tmac_gemm.inl"

namespace bitnet {
namespace {

struct LutTableNeon {
  static constexpr size_t kUnit = 1;

  template <class G>
  static BITNET_INLINE uint32_t entries(const int8_t* x, uint8_t* low, uint8_t* high) {
    uint32_t wide = 0;
    for (size_t g = 0; g < G::kGroups; g++, x += G::kGroup) {
      int16x8_t a = vdupq_n_s16(0), b = a;
      unroll<static_cast<int>(G::kGroup)>([&](auto i) BITNET_INLINE_LAMBDA {
        constexpr size_t n = decltype(i)::value;
        constexpr int16_t c[16] = {G::coefficient(n, 0),  G::coefficient(n, 1),  G::coefficient(n, 2),
                                   G::coefficient(n, 3),  G::coefficient(n, 4),  G::coefficient(n, 5),
                                   G::coefficient(n, 6),  G::coefficient(n, 7),  G::coefficient(n, 8),
                                   G::coefficient(n, 9),  G::coefficient(n, 10), G::coefficient(n, 11),
                                   G::coefficient(n, 12), G::coefficient(n, 13), G::coefficient(n, 14),
                                   G::coefficient(n, 15)};
        a = vmlaq_n_s16(a, vld1q_s16(c), x[n]);
        b = vmlaq_n_s16(b, vld1q_s16(c + 8), x[n]);
      });
      if constexpr (G::kCentred) {
        a = vshrq_n_s16(vaddq_s16(a, vdupq_n_s16(1)), 1);
        b = vshrq_n_s16(vaddq_s16(b, vdupq_n_s16(1)), 1);
      }
      const int16x8_t half = vdupq_n_s16(128);
      vst1q_s8(reinterpret_cast<int8_t*>(low) + 16 * g, vcombine_s8(vmovn_s16(a), vmovn_s16(b)));
      const int8x16_t h = vcombine_s8(vshrn_n_s16(vaddq_s16(a, half), 8), vshrn_n_s16(vaddq_s16(b, half), 8));
      vst1q_s8(reinterpret_cast<int8_t*>(high) + 16 * g, h);
      wide |= static_cast<uint32_t>(vmaxvq_u8(vreinterpretq_u8_s8(h)) != 0) << g;
    }
    return wide;
  }

  static BITNET_INLINE LutSums sums(const int8_t* x) {
    const int32x4_t fours = vpaddlq_s16(vpaddlq_s8(vld1q_s8(x)));
    return {vaddvq_s32(fours), vaddvq_s32(vshrq_n_s32(fours, 1))};
  }
};

// G: Pairs or Triples with Planes = 1 (two quads a block), or Fours (a quad per plane).
template <class G, int Planes>
struct NeonQuads {
  using Groups = G;
  static constexpr int kTiles = 2, kBatchTiles = 1, kBatchTokens = 2;
  static constexpr bool kSigns = G::kGroup == 3, kFours = G::kGroup == 4;
  static constexpr int kStep = kSigns ? 4 : 1;  // blocks of one round of the loop
  static constexpr int kQuads = kFours ? Planes : 2;
  static constexpr size_t kStepBytes = kSigns ? 320 : kQuads * 32;
  static constexpr size_t kTableBytes = G::kGroups * 16;
  static constexpr size_t kLowFlush = kSigns ? 20 : kFours ? 60 : 30;
  static constexpr size_t kHighFlush = kSigns ? 4 : kFours ? 30 : 15, kSparseFlush = 60, kUnit = 1;

  struct Sums {
    int32x4_t rows[4];
  };
  using Total = Sums;

  static BITNET_INLINE size_t tile_bytes(size_t columns) {
    return kSigns ? tl2_tile_bytes(columns) : kFours ? tmac_tile_bytes(columns, Planes) : tl1_tile_bytes(columns);
  }

  static BITNET_INLINE uint8x16_t nibble(uint8x16_t v, bool high) {
    return high ? vshrq_n_u8(v, 4) : vandq_u8(v, vdupq_n_u8(15));
  }

  static BITNET_INLINE int8x16_t lookup(const uint8_t* table, uint8x16_t index) {
    return vreinterpretq_s8_u8(vqtbl1q_u8(vld1q_u8(table), index));
  }

  // All ones where the shifted signs have their top bit.
  static BITNET_INLINE int8x16_t mask_of(uint8x16_t signs, int slot) {
    return vreinterpretq_s8_u8(vcltzq_s8(vshlq_s8(vreinterpretq_s8_u8(signs), vdupq_n_s8(static_cast<int8_t>(slot)))));
  }

  static BITNET_INLINE void add_words(Sums& total, int16x8_t low, int16x8_t high, int shift) {
    const int32x4_t s = vdupq_n_s32(shift);
    total.rows[0] = vaddq_s32(total.rows[0], vshlq_s32(vmovl_s16(vget_low_s16(low)), s));
    total.rows[1] = vaddq_s32(total.rows[1], vshlq_s32(vmovl_high_s16(low), s));
    total.rows[2] = vaddq_s32(total.rows[2], vshlq_s32(vmovl_s16(vget_low_s16(high)), s));
    total.rows[3] = vaddq_s32(total.rows[3], vshlq_s32(vmovl_high_s16(high), s));
  }

  static BITNET_INLINE void add_bytes(Sums& total, int8x16_t v, int shift) {
    add_words(total, vmovl_s8(vget_low_s8(v)), vmovl_high_s8(v), shift);
  }

  // Adds blocks first to last (multiples of kStep) to total; without high parts unless Dense.
  template <int R, int T, bool Dense>
  static BITNET_INLINE void sweep(const uint8_t* w, size_t tile_bytes, size_t first, size_t last, const LutTable* tables,
                                  Sums (&total)[T][R]) {
    constexpr size_t kFlush = Dense ? kHighFlush : kLowFlush;
    const uint8_t* p = w + first / kStep * kStepBytes;
    for (size_t b0 = first; b0 < last; b0 += kFlush) {
      const size_t b1 = last < b0 + kFlush ? last : b0 + kFlush;
      int16x8_t low[T][R][Planes][2];
      int8x16_t high[T][R][Planes];
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
          unroll<Planes>([&](auto plane) BITNET_INLINE_LAMBDA {
            low[t][r][plane][0] = low[t][r][plane][1] = vdupq_n_s16(0);
            high[t][r][plane] = vdupq_n_s8(0);
          });
        });
      });
      for (size_t b = b0; b < b1; b += kStep, p += kStepBytes) {
        unroll<kStep>([&](auto q) BITNET_INLINE_LAMBDA {
          unroll<R>([&](auto r) BITNET_INLINE_LAMBDA { prefetch(p + r * tile_bytes + 64 * q + 1024); });
          unroll<kQuads>([&](auto h) BITNET_INLINE_LAMBDA {
            constexpr int plane = kFours ? decltype(h)::value : 0;
            no_loads_ahead();
            unroll<2>([&](auto l) BITNET_INLINE_LAMBDA {
              uint8x16_t v[R];
              unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
                v[r] = vld1q_u8(p + r * tile_bytes + 64 * q + 32 * h + 16 * l);
              });
              unroll<2>([&](auto n) BITNET_INLINE_LAMBDA {
                if constexpr (kSigns) no_loads_ahead();
                uint8x16_t index[R];
                int8x16_t mask[R];
                unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
                  index[r] = nibble(v[r], decltype(n)::value);
                  if constexpr (kSigns) {
                    constexpr int slot = 4 * (decltype(q)::value % 2) + 2 * decltype(h)::value + decltype(n)::value;
                    const uint8x16_t s = vld1q_u8(p + r * tile_bytes + 256 + 32 * (q / 2) + 16 * l);
                    mask[r] = vreinterpretq_s8_u8(vcltzq_s8(vshlq_n_s8(vreinterpretq_s8_u8(s), slot)));
                  }
                });
                unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
                  const size_t at = (b + q) * kTableBytes + (kFours ? 0 : 64 * h) + 32 * n + 16 * l;
                  unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
                    int8x16_t e = lookup(tables[t].low + at, index[r]);
                    if constexpr (kSigns) e = veorq_s8(e, mask[r]);
                    low[t][r][plane][0] = vaddw_s8(low[t][r][plane][0], vget_low_s8(e));
                    low[t][r][plane][1] = vaddw_high_s8(low[t][r][plane][1], e);
                    if constexpr (Dense) {
                      int8x16_t f = lookup(tables[t].high + at, index[r]);
                      if constexpr (kSigns) f = vsubq_s8(veorq_s8(f, mask[r]), mask[r]);
                      high[t][r][plane] = vaddq_s8(high[t][r][plane], f);
                    }
                  });
                });
              });
            });
          });
        });
      }
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
        unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
          unroll<Planes>([&](auto plane) BITNET_INLINE_LAMBDA {
            add_words(total[t][r], low[t][r][plane][0], low[t][r][plane][1], plane);
            if constexpr (Dense) add_bytes(total[t][r], high[t][r][plane], 8 + plane);
          });
        });
      });
    }
  }

  // High parts of the units (groups) that have any.
  static BITNET_INLINE void sparse(const uint8_t* w, const LutTable& table, LutWide wide, Sums& total) {
    for (size_t i0 = 0; i0 < wide.count; i0 += kSparseFlush) {
      const size_t i1 = wide.count < i0 + kSparseFlush ? wide.count : i0 + kSparseFlush;
      int8x16_t high[Planes];
      unroll<Planes>([&](auto plane) BITNET_INLINE_LAMBDA { high[plane] = vdupq_n_s8(0); });
      for (size_t i = i0; i < i1; i++) {
        const size_t u = wide.units[i], l = u % 2, b = u / G::kGroups;
        const int8x16_t shift = vdupq_n_s8(u / 2 % 2 ? -4 : 0);
        const uint8_t* p = w + b / kStep * kStepBytes + b % kStep * 64 + (kFours ? 0 : u / 4 % 2 * 32) + 16 * l;
        unroll<Planes>([&](auto plane) BITNET_INLINE_LAMBDA {
          int8x16_t e = lookup(table.high + u * 16, nibble(vshlq_u8(vld1q_u8(p + 32 * plane), shift), false));
          if constexpr (kSigns) {
            const uint8_t* signs = w + b / 4 * kStepBytes + 256 + b % 4 / 2 * 32 + 16 * l;
            const int8x16_t mask = mask_of(vld1q_u8(signs), static_cast<int>(u / 2 % 8));
            e = vsubq_s8(veorq_s8(e, mask), mask);
          }
          high[plane] = vaddq_s8(high[plane], e);
        });
      }
      unroll<Planes>([&](auto plane) BITNET_INLINE_LAMBDA { add_bytes(total, high[plane], 8 + plane); });
    }
  }

  // Adds R tiles x T tokens over `count` blocks from first on (multiples of kStep) to total. Dense: high parts of all units,
  // else of those in `wide`, of each token.
  template <int R, int T, int>
  static BITNET_INLINE void add_blocks(const uint8_t* w, size_t tile_bytes, size_t first, size_t count,
                                       const LutTable* tables, const LutWide* wide, bool dense, Total (&total)[T][R]) {
    if (dense) return sweep<R, T, true>(w, tile_bytes, first, first + count, tables, total);
    sweep<R, T, false>(w, tile_bytes, first, first + count, tables, total);
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
        unroll<4>([&](auto i) BITNET_INLINE_LAMBDA {
          if (first) {
            total[t][r].rows[i] = vld1q_s32(y + t * ldy + 16 * r + 4 * i);
          } else if constexpr (kSigns) {
            total[t][r].rows[i] = vld1q_s32(reinterpret_cast<const int32_t*>(w + r * tile_bytes) + 4 * i);
          } else {
            total[t][r].rows[i] = vdupq_n_s32(kFours ? ((1 << Planes) - 1) * tables[t].halves - sums[t] : 0);
          }
        });
      });
    });
    LutWide wide[T];
    const bool dense = lut_wide(tables, wide);
    add_blocks<R, T, 0>(w + (kSigns ? 64 : 0), tile_bytes, first, last - first, tables, wide, dense, total);
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
        unroll<4>([&](auto i) BITNET_INLINE_LAMBDA { vst1q_s32(y + t * ldy + 16 * r + 4 * i, total[t][r].rows[i]); });
      });
    });
  }
};

}  // namespace
}  // namespace bitnet
