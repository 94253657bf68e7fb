// What attention over floats (attention.inl) and over int8 codes (attention_int8.inl) share.
#pragma once

#include "kernels/float_lanes.inl"

namespace bitnet {
namespace {

// Into the second cache: a tenth faster than into the first, out of memory.
BITNET_INLINE void fetch(const uint8_t* p) { __builtin_prefetch(p, 0, 1); }

// int8 codes of a row: value = code * scale, code = round_half_even(value * inverse). Keys and values have no natural size:
// only what a float can hardly scale is taken for zero.
struct CodeScale {
  float scale, inverse;
  BITNET_INLINE V codes(V values) const { return int8_range(V::mul(values, V::set1(inverse))); }
};
BITNET_INLINE CodeScale code_scale(const float* x, size_t n) {
  constexpr float kLeastRange = 1e-30f;
  const float largest = largest_magnitude(x, n), range = largest > kLeastRange ? largest : kLeastRange;
  return {range / 127.0f, 127.0f / range};
}

// Calls f(integral_constant M, first row) for tiles of rows, the largest first.
template <int M, class F>
BITNET_INLINE void row_tiles(size_t row, size_t rows, F& f) {
  for (; row + M <= rows; row += M) f(std::integral_constant<int, M>{}, row);
  if constexpr (M > 1) row_tiles<M == 12 ? 8 : M == 6 || M == 8 ? 4 : M / 2>(row, rows, f);
}

// How a call goes through keys and values.
struct Queries {
  const AttentionArgs& a;
  size_t rows, end;  // queries: tokens * heads; positions that the last of them attends

  BITNET_INLINE size_t token(size_t row) const { return row / a.heads; }
  // A query attends positions from(row) .. until(row) - 1; both rise with the row.
  BITNET_INLINE size_t until(size_t row) const { return a.positions + token(row); }
  BITNET_INLINE size_t from(size_t row) const { return until(row) > a.window ? until(row) - a.window : 0; }
  BITNET_INLINE const float* query(size_t row) const {
    return a.q + token(row) * a.token_stride + row % a.heads * a.head_stride;
  }
  BITNET_INLINE float* weights(size_t row) const { return a.scores + row * a.scores_stride; }
  BITNET_INLINE float* out(size_t row) const { return a.out + row * a.head_stride; }
};

// The largest score of a query, whose scores of positions begin .. end - 1 (multiples of 16) that it doesn't attend become
// -infinity.
BITNET_INLINE float largest_score(const Queries& s, size_t row, size_t begin, size_t end) {
  float* w = s.weights(row);
  const size_t from = s.from(row), until = s.until(row);
  for (size_t p = begin; p < from; p++) w[p] = -kInfinity;
  for (size_t p = until; p < end; p++) w[p] = -kInfinity;
  V largest = V::set1(-kInfinity);
  for (size_t p = begin; p < end; p += 16) largest = V::max(V::load(w + p), largest);
  return V::maximum(largest);
}

BITNET_INLINE void clear_outputs(const Queries& s) {
  for (size_t i = 0; i < s.rows * s.a.head_stride; i += 16) V::store(s.a.out + i, V::zero());
}

// Each query's output times its factor.
BITNET_INLINE void scale_outputs(const Queries& s, const float* factors) {
  for (size_t r = 0; r < s.rows; r++) {
    const V factor = V::set1(factors[r]);
    for (size_t d = 0; d < s.a.head_stride; d += 16) V::store(s.out(r) + d, V::mul(V::load(s.out(r) + d), factor));
  }
}

}  // namespace
}  // namespace bitnet
