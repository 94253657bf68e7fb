// The look-up product of group-scaled weights, written once and instantiated per instruction set (include it from inside
// an ISA file).
//
// Isa provides what group_gemm.inl asks for (Ints, Floats and the operations on them) and
//   PlanesOf<Planes>     the instruction set's bit-plane product (…/tmac_planes.inl, neon/tmac_quads.inl)
//   clear(total), ints(total)
// A group's sum is exact, so the order of float additions, and with it every bit, is that of the contract in
// group_kernel.h. The blocking is that of tmac_gemm.inl; between two chunks of columns a row's unfinished sum rests in y.
#include "kernels/group_gemm.inl"
#include "kernels/tmac_gemm.inl"
#include "kernels/tmac_group_layout.h"

namespace bitnet {
namespace {

// What a token's groups need beside its table.
struct TmacGroups {
  int32_t* sums;   // of the activations
  uint32_t* wide;  // how many units before the group's end have high parts
};

// R tiles x T tokens over groups g0 to g1.
template <class Isa, int Planes, bool ZeroPoints, int R, int T>
BITNET_INLINE void tmac_group_tiles(const GroupShape& s, const uint8_t* tile, const LutTable* tables,
                                    const TmacGroups* groups, size_t g0, size_t g1, const float* scales, float* y,
                                    size_t ldy) {
  using P = typename Isa::template PlanesOf<Planes>;
  constexpr size_t kHeader = ZeroPoints ? 2 * grouped::kLine : grouped::kLine, kUnits = Fours::kGroups / P::kUnit;
  const size_t bytes = tmac_group::tile_bytes(s), blocks = lut_blocks<Fours>(s.columns);
  const size_t of_group = tmac_group::group_blocks(s);
  typename Isa::Floats f[T][R];
  unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
    unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
      f[t][r] = g0 ? Isa::load_floats(reinterpret_cast<const uint8_t*>(y + t * ldy + 16 * r)) : Isa::zero_floats();
    });
  });
  for (size_t g = g0; g < g1; g++) {
    const size_t first = g * of_group, last = first + of_group < blocks ? first + of_group : blocks;
    LutTable part[T];
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      const size_t before = g ? groups[t].wide[g - 1] : 0;
      part[t] = tables[t];
      part[t].wide += before;
      part[t].wide_count = groups[t].wide[g] - before;
      part[t].dense = 2 * part[t].wide_count >= (last - first) * kUnits;
    });
    typename P::Total total[T][R];
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA { Isa::clear(total[t][r]); });
    });
    // Headers stand before their groups, so block b is g + 1 headers and b blocks behind the tile's start.
    P::template add_blocks<R, T>(tile + (g + 1) * kHeader, bytes, first, last, part, total);
    const uint8_t* header = tile + g * kHeader + first * Planes * 32;
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
        typename Isa::Ints sum = Isa::ints(total[t][r]);
        if (Planes == 1 && s.step == 2) sum = Isa::add(sum, sum);
        f[t][r] = group_scaled<Isa, ZeroPoints>(sum, header + r * bytes, s.zero, 0, groups[t].sums[g], f[t][r]);
      });
    });
  }
  const bool done = g1 == s.groups();
  unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
    unroll<R>([&](auto r) BITNET_INLINE_LAMBDA { Isa::store(f[t][r], done ? scales[t] : 1.0f, y + t * ldy + 16 * r); });
  });
}

// T tokens through rows r0 to r1 over groups g0 to g1, R tiles at a time.
template <class Isa, int Planes, bool ZeroPoints, int R, int T>
BITNET_INLINE void tmac_group_rows(const GroupedMatrix& w, const Activations& x, size_t g0, size_t g1, const float* scales,
                                   float* y, size_t ldy, size_t r0, size_t r1, size_t t, void* scratch) {
  using P = typename Isa::template PlanesOf<Planes>;
  const GroupShape& s = w.shape;
  const size_t bytes = tmac_group::tile_bytes(s), blocks = lut_blocks<Fours>(s.columns), count = s.groups();
  const size_t units = tmac_group::group_blocks(s) * (Fours::kGroups / P::kUnit);
  LutTable tables[T];
  TmacGroups groups[T];
  unroll<T>([&](auto i) BITNET_INLINE_LAMBDA {
    tables[i] = lut_table<Fours, P::kUnit>(x.tables, lut_table_bytes<Fours>(s.columns), t + i, blocks, 0, blocks);
    groups[i].sums = static_cast<int32_t*>(scratch) + i * 2 * count;
    groups[i].wide = reinterpret_cast<uint32_t*>(groups[i].sums + count);
    group_sums(s, x.values + (t + i) * x.stride, g0, g1, groups[i].sums);
    size_t n = 0;
    for (size_t g = 0; g < g1; g++) {
      while (n < tables[i].wide_count && tables[i].wide[n] < (g + 1) * units) n++;
      groups[i].wide[g] = static_cast<uint32_t>(n);
    }
  });
  const uint8_t* tile = w.data + r0 / 16 * bytes;
  float* out = y + t * ldy + r0;
  for (; r1 - r0 >= 16 * R; r0 += 16 * R, tile += R * bytes, out += 16 * R) {
    tmac_group_tiles<Isa, Planes, ZeroPoints, R, T>(s, tile, tables, groups, g0, g1, scales + t, out, ldy);
  }
  if constexpr (R > 1) {
    for (; r0 < r1; r0 += 16, tile += bytes, out += 16) {
      tmac_group_tiles<Isa, Planes, ZeroPoints, 1, T>(s, tile, tables, groups, g0, g1, scales + t, out, ldy);
    }
  }
}

template <class Isa, int Planes, bool ZeroPoints>
BITNET_INLINE void tmac_group_tokens(const GroupedMatrix& w, const Activations& x, const float* scales, float* y, size_t ldy,
                                     size_t row_begin, size_t row_end, void* scratch) {
  using P = typename Isa::template PlanesOf<Planes>;
  const size_t groups = w.shape.groups(), end = (row_end + 15) / 16 * 16;
  if (x.count == 1) {
    tmac_group_rows<Isa, Planes, ZeroPoints, P::kTiles, 1>(w, x, 0, groups, scales, y, ldy, row_begin, end, 0, scratch);
    return;
  }
  const size_t of_group = tmac_group::group_blocks(w.shape);
  const size_t chunk = of_group < kLutChunkGroups / Fours::kGroups ? kLutChunkGroups / Fours::kGroups / of_group : 1;
  for (size_t row = row_begin; row < end; row += kLutPanelRows) {
    const size_t row_last = end - row < kLutPanelRows ? end : row + kLutPanelRows;
    for (size_t g0 = 0; g0 < groups; g0 += chunk) {
      const size_t g1 = groups - g0 < chunk ? groups : g0 + chunk;
      size_t t = 0;
      for (; x.count - t >= P::kBatchTokens; t += P::kBatchTokens) {
        tmac_group_rows<Isa, Planes, ZeroPoints, P::kBatchTiles, P::kBatchTokens>(w, x, g0, g1, scales, y, ldy, row, row_last,
                                                                                  t, scratch);
      }
      for (; t < x.count; t++) {
        tmac_group_rows<Isa, Planes, ZeroPoints, P::kTiles, 1>(w, x, g0, g1, scales, y, ldy, row, row_last, t, scratch);
      }
    }
  }
}

template <class Isa>
void tmac_group_gemm(const GroupedMatrix& w, const Activations& x, const float* scales, float* y, size_t ldy,
                     size_t row_begin, size_t row_end, void* scratch) {
  unroll<4>([&](auto i) BITNET_INLINE_LAMBDA {
    constexpr int planes = decltype(i)::value + 1;
    if (w.shape.bits != planes) return;
    if (w.shape.zero_points) {
      tmac_group_tokens<Isa, planes, true>(w, x, scales, y, ldy, row_begin, row_end, scratch);
    } else {
      tmac_group_tokens<Isa, planes, false>(w, x, scales, y, ldy, row_begin, row_end, scratch);
    }
  });
}

template <class Isa>
size_t tmac_group_scratch(const GroupShape& s) {
  constexpr size_t tokens = Isa::template PlanesOf<1>::kBatchTokens;
  return tokens * 2 * s.groups() * sizeof(int32_t);
}

}  // namespace
}  // namespace bitnet
