// The tile registers of AMX int8, for a product of tokens x rows: 2 x 2 accumulators of 16 tokens x 16 rows of W.
//
//   tmm0 tmm1   tokens 0..15  x rows 0..15, 16..31      tmm4 tmm5   activations of tokens 0..15, 16..31: 64 columns each
//   tmm2 tmm3   tokens 16..31 x rows 0..15, 16..31      tmm6 tmm7   codes of rows 0..15, 16..31: 64 columns each
//
// A step of 64 columns loads four tiles (64 lines) for four TDPBSUD (65,536 multiply-adds, 64 cycles): half of what L1
// gives, what L2 gives at best. Activations are read as they lie, 16 rows of 64 bytes. A tile of codes is stored as
// TDPBSUD wants it: line i holds columns 4i..4i+3 of its 16 rows.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/inline.h"
#include "kernels/kernel.h"

namespace bitnet {
namespace {

constexpr size_t kTileBytes = 1024;
constexpr size_t kTileTokens = 32;  // two tiles

// What is written before must be in memory before a tile is loaded from it: g++ 12's intrinsics don't tell it that.
BITNET_INLINE void settle_memory() {
#if defined(__GNUC__)
  __asm__ volatile("" ::: "memory");
#endif
}

// What LDTILECFG reads: the registers' shapes.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t column_bytes[16] = {};
  uint8_t rows[16] = {};

  BITNET_INLINE void set(int tile, size_t row_count, size_t bytes) {
    rows[tile] = static_cast<uint8_t>(row_count);
    column_bytes[tile] = static_cast<uint16_t>(bytes);
  }
  BITNET_INLINE void load() const {
    settle_memory();
    _tile_loadconfig(this);
  }
};

// Sets the registers up with 64 bytes a row and these numbers of rows, 1 to 16.
BITNET_INLINE void configure_tile_rows(const size_t (&rows)[8]) {
  TileConfig config;
  for (int i = 0; i < 8; i++) config.set(i, rows[i], 64);
  config.load();
}

// For `first` tokens in tmm0, 1, 4 and `second` in tmm2, 3, 5 (1 to 16 each).
BITNET_INLINE void configure_tiles(size_t first, size_t second) {
  configure_tile_rows({first, first, second, second, first, second, 16, 16});
}

// Where the accumulators start from and go to: [tokens][stride] each. The sums of rows 16..31 start `start_right` behind
// those of rows 0..15.
struct TileTarget {
  const int32_t* start;
  size_t start_stride, start_right;
  int32_t* y;
  size_t ldy;
};

template <bool TwoTokens, bool TwoRows>
BITNET_INLINE void load_sums(const TileTarget& c) {
  const size_t stride = c.start_stride * 4;
  const int32_t* second = c.start + 16 * c.start_stride;
  settle_memory();
  _tile_loadd(0, c.start, stride);
  if constexpr (TwoRows) _tile_loadd(1, c.start + c.start_right, stride);
  if constexpr (TwoTokens) _tile_loadd(2, second, stride);
  if constexpr (TwoTokens && TwoRows) _tile_loadd(3, second + c.start_right, stride);
}

template <bool TwoTokens, bool TwoRows>
BITNET_INLINE void store_sums(const TileTarget& c) {
  const size_t stride = c.ldy * 4;
  int32_t* second = c.y + 16 * c.ldy;
  _tile_stored(0, c.y, stride);
  if constexpr (TwoRows) _tile_stored(1, c.y + 16, stride);
  if constexpr (TwoTokens) _tile_stored(2, second, stride);
  if constexpr (TwoTokens && TwoRows) _tile_stored(3, second + 16, stride);
  settle_memory();
}

// sums += x * codes for 16 tokens (32) and 16 rows of W (32), over `steps` steps of 64 columns.
template <bool TwoTokens, bool TwoRows>
BITNET_INLINE void multiply_tiles(const int8_t* x, size_t stride, const uint8_t* codes, size_t steps) {
  const int8_t* second = x + 16 * stride;
  for (size_t s = 0; s < steps; s++, x += 64, second += 64, codes += TwoRows ? 2 * kTileBytes : kTileBytes) {
    _tile_loadd(4, x, stride);
    _tile_loadd(6, codes, 64);
    if constexpr (TwoTokens) _tile_loadd(5, second, stride);
    if constexpr (TwoRows) _tile_loadd(7, codes + kTileBytes, 64);
    _tile_dpbsud(0, 4, 6);
    if constexpr (TwoTokens) _tile_dpbsud(2, 5, 6);
    if constexpr (TwoRows) _tile_dpbsud(1, 4, 7);
    if constexpr (TwoTokens && TwoRows) _tile_dpbsud(3, 5, 7);
  }
}

template <bool TwoTokens, bool TwoRows>
BITNET_INLINE void tile_product(const int8_t* x, size_t stride, const uint8_t* codes, size_t steps, const TileTarget& c) {
  load_sums<TwoTokens, TwoRows>(c);
  multiply_tiles<TwoTokens, TwoRows>(x, stride, codes, steps);
  store_sums<TwoTokens, TwoRows>(c);
}

// Calls run(first token, tokens, target) for 32 tokens after another (the last time 1 to 32), the registers set up for them.
// `y`: a panel's first row. The sums of the first panel of columns start from minus the activations' sums, since codes are
// w + 1; further panels go on from what is in y.
template <class F>
BITNET_INLINE void each_token_tiles(const Activations& x, int32_t* y, size_t ldy, bool first_panel, F&& run) {
  alignas(64) int32_t start[kTileTokens * 16];
  const size_t whole = x.count / kTileTokens * kTileTokens, rest = x.count - whole;
  auto tiles = [&](size_t t, size_t tokens) BITNET_INLINE_LAMBDA {
    int32_t* out = y + t * ldy;
    TileTarget target{out, ldy, 16, out, ldy};
    if (first_panel) {
      for (size_t i = 0; i < tokens; i++) _mm512_store_si512(start + 16 * i, _mm512_set1_epi32(-x.sums[t + i]));
      target = {start, 16, 0, out, ldy};
    }
    run(t, tokens, target);
  };
  if (whole) {
    configure_tiles(16, 16);
    for (size_t t = 0; t < whole; t += kTileTokens) tiles(t, kTileTokens);
  }
  if (rest) {
    configure_tiles(rest < 16 ? rest : 16, rest > 16 ? rest - 16 : 16);
    tiles(whole, rest);
  }
}

}  // namespace
}  // namespace bitnet
