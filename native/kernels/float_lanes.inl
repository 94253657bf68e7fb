// What the float operations of all subjects share, written over V, a vector of 16 floats (see float_ops.h for the contract).
// An instruction set's float_vector.h defines V, in the anonymous namespace, and BITNET_FLOATS, the namespace of what its
// files give each other, and is included before any of them:
//
//   load(p) load_partial(p, n: zeros beyond) store(p, v) store_partial(p, v, n)  zero() set1(f)
//   add sub mul div fma(a, b, c) = a * b + c   max(a, b) = a > b ? a : b (so b where a is NaN)   abs
//   sum(v) / maximum(v): the tree i + 8, + 4, + 2, + 1
//   from_i32(p) from_i8(p) from_f16(p) from_bf16(p) to_f16(p, v)      16 values, p of the stored type, any alignment
//   to_i8(p, v) to_u8(p, v): round half to even; v is within -128..127, 0..255
//   pow2(v): 2^v for integral v in -126..127          times_pow2(v, n): v * 2^k, n being k + 1.5 * 2^23, where that is normal
//   keep_if_ge(v, x, limit): v where x >= limit, else +0
//   mask_gt(v, threshold): bit i set where lane i > threshold
//   kDenseRows x kDenseTokens: a tile of dense.inl that fits the registers
//   kScoreRows, kScoreVectors (1 or 2), kValueRows, kValueVectors: tiles of attention that fit the registers (attention.inl)
#pragma once

#include "kernels/float_ops.h"
#include "kernels/inline.h"

namespace bitnet {

// One file a subject, which build beside each other: attention.inl, attention_int8.inl, dense.inl, dense_blocks.inl;
// float_ops.inl has the rest and the table. Parameters as in FloatOps.
namespace BITNET_FLOATS {
void store_key(const float* x, size_t n, size_t stride, KvType type, uint8_t* plane, size_t position);
void store_value(const float* x, size_t n, size_t stride, KvType type, uint8_t* plane, size_t position);
void attention(const AttentionArgs& a);
void int8_attention(const AttentionArgs& a);
void dense(DenseType type, const uint8_t* w, size_t n, size_t row_begin, size_t row_end, const float* x, size_t ldx,
           size_t tokens, float* y, size_t ldy);
void dense_list(DenseType type, const uint8_t* w, size_t n, const int32_t* ids, size_t count, const float* x, float* y);
void dense_row(DenseType type, const uint8_t* w, size_t n, size_t row_index, float scale, float* out);
// The same for the types from kQ1_0 on.
void block_dense(DenseType type, const uint8_t* w, size_t n, size_t row_begin, size_t row_end, const float* x, size_t ldx,
                 size_t tokens, float* y, size_t ldy);
void block_dense_list(DenseType type, const uint8_t* w, size_t n, const int32_t* ids, size_t count, const float* x, float* y);
void block_row(DenseType type, const uint8_t* w, size_t n, size_t row_index, float scale, float* out);
}  // namespace BITNET_FLOATS

namespace {

// ---- exp -------------------------------------------------------------------------------------------------------------
// exp(x) = 2^n * exp(r), n = round(x / ln 2), |r| <= ln 2 / 2, with the polynomial of Cephes' expf (Moshier); about 1 ulp.
// 0 below -87, clamped above 88.
BITNET_INLINE V exponential(V x) {
  const V low = V::set1(-87.0f);
  const V clamped = V::max(V::sub(V::set1(0.0f), V::max(V::sub(V::set1(0.0f), x), V::set1(-88.0f))), low);
  // Adding 1.5 * 2^23 rounds to an integer, half to even, on every instruction set.
  const V magic = V::set1(12582912.0f);
  const V n = V::sub(V::fma(clamped, V::set1(1.44269504088896341f), magic), magic);
  V r = V::fma(n, V::set1(-0.693359375f), clamped);
  r = V::fma(n, V::set1(2.12194440e-4f), r);
  V p = V::set1(1.9875691500e-4f);
  p = V::fma(p, r, V::set1(1.3981999507e-3f));
  p = V::fma(p, r, V::set1(8.3334519073e-3f));
  p = V::fma(p, r, V::set1(4.1665795894e-2f));
  p = V::fma(p, r, V::set1(1.6666665459e-1f));
  p = V::fma(p, r, V::set1(5.0000001201e-1f));
  p = V::fma(p, V::mul(r, r), V::add(r, V::set1(1.0f)));
  return V::keep_if_ge(V::mul(p, V::pow2(n)), x, low);
}

// Calls f(offset, count) for each group of 16, the last one possibly shorter.
template <class F>
BITNET_INLINE void for_each_16(size_t n, F&& f) {
  size_t i = 0;
  for (; i + 16 <= n; i += 16) f(i, std::integral_constant<size_t, 16>{});
  if (i < n) f(i, n - i);
}
BITNET_INLINE V load_n(const float* p, std::integral_constant<size_t, 16>) { return V::load(p); }
BITNET_INLINE V load_n(const float* p, size_t n) { return V::load_partial(p, n); }
BITNET_INLINE void store_n(float* p, V v, std::integral_constant<size_t, 16>) { V::store(p, v); }
BITNET_INLINE void store_n(float* p, V v, size_t n) { V::store_partial(p, v, n); }
BITNET_INLINE V int_n(const int32_t* p, std::integral_constant<size_t, 16>) { return V::from_i32(p); }
BITNET_INLINE V int_n(const int32_t* p, size_t n) {
  alignas(64) int32_t padded[16] = {};
  for (size_t i = 0; i < n; i++) padded[i] = p[i];
  return V::from_i32(padded);
}

// Clamped to -128 .. 127. max(.., -128) also turns a NaN into -128, the same everywhere; min(v, 127) = -max(-v, -127).
BITNET_INLINE V int8_range(V v) {
  const V zero = V::zero();
  return V::sub(zero, V::max(V::sub(zero, V::max(v, V::set1(-128.0f))), V::set1(-127.0f)));
}

BITNET_INLINE float largest_magnitude(const float* x, size_t n) {
  V largest = V::zero();
  for_each_16(n, [&](size_t i, auto count) BITNET_INLINE_LAMBDA {
    largest = V::max(V::abs(load_n(x + i, count)), largest);
  });
  return V::maximum(largest);
}

}  // namespace
}  // namespace bitnet
