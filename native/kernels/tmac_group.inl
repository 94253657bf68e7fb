// The look-up product of group-scaled weights, written once and instantiated per instruction set (include it from inside
// an ISA file).
//
// Isa provides what group_gemm.inl asks for (Ints, Floats and the operations on them) and
//   PlanesOf<Planes>     the instruction set's bit-plane product (…/tmac_planes.inl, neon/tmac_quads.inl)
//   Table                how its tables are built
//   set(total, value), ints(total)
// A group's sum is exact, so the order of float additions, and with it every bit, is that of the contract in
// group_kernel.h. The blocking is that of tmac_gemm.inl; between two chunks of columns a row's unfinished sum rests in y.
#include "kernels/group_gemm.inl"
#include "kernels/tmac_gemm.inl"
#include "kernels/tmac_group_layout.h"

namespace bitnet {
namespace {

// What a token's group needs beside its table.
struct TmacGroup {
  LutWide wide;
  int32_t start;   // what the sum of each row starts from: all that is the same for them
  int32_t all;     // the sum of its activations
  uint32_t dense;  // whether half of its units or more have high parts
};

// Groups g0 to g1 of a token. table: of the blocks of these groups.
template <class P, int Planes>
BITNET_INLINE void tmac_groups(const GroupShape& s, const LutTable& table, size_t blocks, size_t g0, size_t g1,
                               TmacGroup* groups) {
  const size_t of_group = tmac_group::group_blocks(s), units = of_group * (Fours::kGroups / P::kUnit);
  const LutSums* sums = lut_sums(table, blocks);
  const bool doubled = Planes == 1 && s.step == 2;  // then the zeros are taken away behind the doubling
  size_t n = 0;
  for (size_t g = g0; g < g1; g++) {
    const size_t last = (g + 1) * of_group < blocks ? (g + 1) * of_group : blocks;
    int32_t all = 0, halves = 0;
    for (size_t b = g * of_group; b < last; b++) {
      all += sums[b].all;
      halves += sums[b].halves;
    }
    const size_t wide = n;
    while (n < table.wide_count && table.wide[n] < (g + 1) * units) n++;
    groups[g] = {{table.wide + wide, n - wide},
                 ((1 << Planes) - 1) * halves - (s.zero_points || doubled ? 0 : s.zero * all), all,
                 2 * (n - wide) >= (last - g * of_group) * (Fours::kGroups / P::kUnit)};
  }
}

// R tiles x T tokens over groups g0 to g1. N: blocks of a group where that is known, else 0.
template <class Isa, int Planes, int N, int R, int T>
BITNET_INLINE void tmac_group_tiles(const GroupShape& s, const uint8_t* tile, const LutTable* tables,
                                    const TmacGroup* const* groups, size_t g0, size_t g1, const float* scales, float* y,
                                    size_t ldy) {
  using P = typename Isa::template PlanesOf<Planes>;
  const size_t bytes = tmac_group::tile_bytes(s), blocks = lut_blocks<Fours>(s.columns);
  const size_t of_group = N > 0 ? N : tmac_group::group_blocks(s), header_bytes = grouped::header_bytes(s);
  const bool doubled = Planes == 1 && s.step == 2;
  typename Isa::Floats f[T][R];
  unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
    unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
      f[t][r] = g0 ? Isa::load_floats(reinterpret_cast<const uint8_t*>(y + t * ldy + 16 * r)) : Isa::zero_floats();
    });
  });
  for (size_t g = g0; g < g1; g++) {
    const size_t first = g * of_group, count = N > 0 || first + of_group < blocks ? of_group : blocks - first;
    typename P::Total total[T][R];
    LutWide wide[T];
    bool dense = false;
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      const TmacGroup& group = groups[t][g];
      wide[t] = group.wide;
      dense |= group.dense;
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA { Isa::set(total[t][r], group.start); });
    });
    // Headers stand before their groups, so block b is g + 1 headers and b blocks behind the tile's start.
    P::template add_blocks<R, T, N>(tile + (g + 1) * header_bytes, bytes, first, count, tables, wide, dense, total);
    const uint8_t* header = tile + g * header_bytes + first * Planes * 32;
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
        typename Isa::Ints sum = Isa::ints(total[t][r]);
        const uint8_t* of_tile = header + r * bytes;
        if (doubled) {
          sum = Isa::add(sum, sum);
          if (!s.zero_points) sum = Isa::sub(sum, s.zero * groups[t][g].all);
        }
        if (s.zero_points) sum = Isa::sub_zeros(sum, of_tile + grouped::kLine, 0, groups[t][g].all);
        f[t][r] = Isa::multiply_add(sum, Isa::load_floats(of_tile), f[t][r]);
      });
    });
  }
  const bool done = g1 == s.groups();
  unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
    unroll<R>([&](auto r) BITNET_INLINE_LAMBDA { Isa::store(f[t][r], done ? scales[t] : 1.0f, y + t * ldy + 16 * r); });
  });
}

// T tokens through rows r0 to r1 over groups g0 to g1, R tiles at a time. A function of its own: compilers take minutes over
// one that holds all of them.
template <class Isa, int Planes, int N, int R, int T>
BITNET_NOINLINE void tmac_group_rows(const GroupedMatrix& w, const Activations& x, size_t g0, size_t g1, const float* scales,
                                   float* y, size_t ldy, size_t r0, size_t r1, size_t t, void* scratch) {
  using P = typename Isa::template PlanesOf<Planes>;
  const GroupShape& s = w.shape;
  const size_t bytes = tmac_group::tile_bytes(s), blocks = lut_blocks<Fours>(s.columns), count = s.groups();
  const size_t of_group = tmac_group::group_blocks(s), last = g1 * of_group < blocks ? g1 * of_group : blocks;
  LutTable tables[T];
  const TmacGroup* groups[T];
  unroll<T>([&](auto i) BITNET_INLINE_LAMBDA {
    tables[i] = lut_table<Fours, P::kUnit>(x.tables, lut_table_bytes<Fours>(s.columns), t + i, blocks, g0 * of_group, last);
    TmacGroup* of_token = static_cast<TmacGroup*>(scratch) + i * count;
    tmac_groups<P, Planes>(s, tables[i], blocks, g0, g1, of_token);
    groups[i] = of_token;
  });
  const uint8_t* tile = w.data + r0 / 16 * bytes;
  float* out = y + t * ldy + r0;
  for (; r1 - r0 >= 16 * R; r0 += 16 * R, tile += R * bytes, out += 16 * R) {
    tmac_group_tiles<Isa, Planes, N, R, T>(s, tile, tables, groups, g0, g1, scales + t, out, ldy);
  }
  if constexpr (R > 1) {
    for (; r0 < r1; r0 += 16, tile += bytes, out += 16) {
      tmac_group_tiles<Isa, Planes, N, 1, T>(s, tile, tables, groups, g0, g1, scales + t, out, ldy);
    }
  }
}

template <class Isa, int Planes, int N>
BITNET_INLINE void tmac_group_tokens(const GroupedMatrix& w, const Activations& x, const float* scales, float* y, size_t ldy,
                                     size_t row_begin, size_t row_end, void* scratch) {
  using P = typename Isa::template PlanesOf<Planes>;
  const size_t groups = w.shape.groups(), end = (row_end + 15) / 16 * 16;
  if (x.count == 1) {
    tmac_group_rows<Isa, Planes, N, P::kTiles, 1>(w, x, 0, groups, scales, y, ldy, row_begin, end, 0, scratch);
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
        tmac_group_rows<Isa, Planes, N, P::kBatchTiles, P::kBatchTokens>(w, x, g0, g1, scales, y, ldy, row, row_last,
                                                                                  t, scratch);
      }
      for (; t < x.count; t++) {
        tmac_group_rows<Isa, Planes, N, P::kTiles, 1>(w, x, g0, g1, scales, y, ldy, row, row_last, t, scratch);
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
    if (tmac_group::group_blocks(w.shape) == 2) {  // 32 columns, as Q4_0
      tmac_group_tokens<Isa, planes, 2>(w, x, scales, y, ldy, row_begin, row_end, scratch);
    } else {
      tmac_group_tokens<Isa, planes, 0>(w, x, scales, y, ldy, row_begin, row_end, scratch);
    }
  });
}

template <class Isa>
size_t tmac_group_scratch(const GroupShape& s) {
  constexpr size_t tokens = Isa::template PlanesOf<1>::kBatchTokens;
  return tokens * s.groups() * sizeof(TmacGroup);
}

// The registration of an instruction set's kernel.
template <class Isa>
constexpr GroupKernel tmac_group_kernel(const char* name, const char* isa, const char* description, CpuFeatures required,
                                        decltype(GroupKernel::pack) pack) {
  return {name, "tmac-group", isa, description, required, tmac_group::supports, tmac_group::packed_bytes, pack,
          tmac_group_scratch<Isa>, tmac_group_gemm<Isa>, tmac::table_bytes,
          lut_build_table<Fours, typename Isa::Table>};
}

}  // namespace
}  // namespace bitnet
