// The product of group-scaled weights, written once and instantiated per instruction set (include it from inside an ISA
// file).
//
// Isa provides:
//   Ints, Floats                   16 int32 and 16 float lanes, one per row of a tile
//   kTokens                        most tokens of a register tile
//   kBias8                         what its 8-bit codes are lowered by before they are multiplied
//   zero(), step<Bits>(w, x, a)    a[c] += dot products of 16 columns; the chains c = 0, 1 are added at the group's end
//   sub_zero(a, zero * sum), sub_zeros(a, zeros, sum)
//   multiply_add(a, scales, f)     fma(float(a), scales, f)
//   store(f, scale, y)             f * scale
// Two chains of sums hide the latency of dependent dot products. Tokens run inside row tiles: a tile of 16 rows stays in
// L1 or L2 for all of them.
#pragma once

#include "kernels/group_layout.h"
#include "kernels/inline.h"

namespace bitnet {
namespace {

// f + (sum of a group less its zeros) * its scales. q_sum: the sum of the group's activations.
template <class Isa, bool ZeroPoints>
BITNET_INLINE typename Isa::Floats group_scaled(typename Isa::Ints sum, const uint8_t* header, int32_t zero, int32_t bias,
                                                int32_t q_sum, typename Isa::Floats f) {
  if constexpr (ZeroPoints) {
    sum = Isa::sub_zeros(sum, header + grouped::kLine, bias, q_sum);
  } else {
    sum = Isa::sub(sum, zero * q_sum);
  }
  return Isa::multiply_add(sum, Isa::load_floats(header), f);
}

// Sums of a token's activations by group, groups first to last.
BITNET_INLINE void group_sums(const GroupShape& s, const int8_t* q, size_t first, size_t last, int32_t* sums) {
  const size_t padded = round_up(s.columns, kGroupStep);
  for (size_t g = first; g < last; g++) {
    const size_t end = (g + 1) * s.group < padded ? (g + 1) * s.group : padded;
    int32_t sum = 0;
    for (size_t k = g * s.group; k < end; k++) sum += q[k];
    sums[g] = sum;
  }
}

template <class Isa, int Bits, bool ZeroPoints, int T>
BITNET_INLINE void group_tile(const uint8_t* p, const GroupShape& s, const int8_t* x, size_t stride, const int32_t* sums,
                              const float* scales, float* y, size_t ldy, size_t ahead) {
  constexpr size_t kStep = grouped::step_bytes(Bits);
  typename Isa::Floats f[T];
  unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { f[t] = Isa::zero_floats(); });
  const size_t padded = round_up(s.columns, kGroupStep), groups = s.groups();
  const int32_t zero = s.zero - (Bits == 8 ? Isa::kBias8 : 0);
  for (size_t g = 0, k = 0; g < groups; g++) {
    const uint8_t* header = p;
    p += ZeroPoints ? 2 * grouped::kLine : grouped::kLine;
    typename Isa::Ints a[T][2];
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { a[t][0] = a[t][1] = Isa::zero(); });
    const size_t end = k + s.group < padded ? k + s.group : padded;
    for (; k < end; k += kGroupStep, p += kStep) {
      for (size_t line = 0; line < kStep; line += grouped::kLine) Isa::prefetch_line(p + line + ahead);
      Isa::template step<Bits, T>(p, x + k, stride, a);
    }
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
      f[t] = group_scaled<Isa, ZeroPoints>(Isa::add(a[t][0], a[t][1]), header, zero, Bits == 8 ? Isa::kBias8 : 0,
                                           sums[t * groups + g], f[t]);
    });
  }
  unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { Isa::store(f[t], scales[t], y + t * ldy); });
}

template <class Isa, int Bits, bool ZeroPoints, int T>
BITNET_INLINE void group_rows(const GroupedMatrix& w, const Activations& x, size_t t, const float* scales, float* y,
                              size_t ldy, size_t row_begin, size_t row_end, int32_t* sums) {
  const GroupShape& s = w.shape;
  const size_t groups = s.groups();
  for (size_t i = 0; i < T; i++) group_sums(s, x.values + (t + i) * x.stride, 0, groups, sums + i * groups);
  const size_t bytes = grouped::tile_bytes(s);
  for (size_t row = row_begin; row < row_end; row += grouped::kTileRows) {
    group_tile<Isa, Bits, ZeroPoints, T>(w.data + row / grouped::kTileRows * bytes, s, x.values + t * x.stride, x.stride,
                                         sums, scales + t, y + t * ldy + row, ldy, w.prefetch);
  }
}

template <class Isa, int Bits, bool ZeroPoints>
BITNET_INLINE void group_tokens(const GroupedMatrix& w, const Activations& x, const float* scales, float* y, size_t ldy,
                                size_t row_begin, size_t row_end, int32_t* sums) {
  size_t t = 0;
  for (; t + Isa::kTokens <= x.count; t += Isa::kTokens) {
    group_rows<Isa, Bits, ZeroPoints, Isa::kTokens>(w, x, t, scales, y, ldy, row_begin, row_end, sums);
  }
  for (; t + 2 <= x.count; t += 2) group_rows<Isa, Bits, ZeroPoints, 2>(w, x, t, scales, y, ldy, row_begin, row_end, sums);
  for (; t < x.count; t++) group_rows<Isa, Bits, ZeroPoints, 1>(w, x, t, scales, y, ldy, row_begin, row_end, sums);
}

template <class Isa>
void group_gemm(const GroupedMatrix& w, const Activations& x, const float* scales, float* y, size_t ldy, size_t row_begin,
                size_t row_end, void* scratch) {
  auto* sums = static_cast<int32_t*>(scratch);
  const bool zeros = w.shape.zero_points;
  switch (grouped::stored_bits(w.shape.bits)) {
    case 2:
      if (zeros) return group_tokens<Isa, 2, true>(w, x, scales, y, ldy, row_begin, row_end, sums);
      return group_tokens<Isa, 2, false>(w, x, scales, y, ldy, row_begin, row_end, sums);
    case 4:
      if (zeros) return group_tokens<Isa, 4, true>(w, x, scales, y, ldy, row_begin, row_end, sums);
      return group_tokens<Isa, 4, false>(w, x, scales, y, ldy, row_begin, row_end, sums);
    default:
      if (zeros) return group_tokens<Isa, 8, true>(w, x, scales, y, ldy, row_begin, row_end, sums);
      return group_tokens<Isa, 8, false>(w, x, scales, y, ldy, row_begin, row_end, sums);
  }
}

template <class Isa>
size_t group_scratch(const GroupShape& s) {
  return Isa::kTokens * s.groups() * sizeof(int32_t);
}

}  // namespace
}  // namespace bitnet
