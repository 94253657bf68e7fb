// The float operations, written once over V, a vector of 16 floats (see float_ops.h for the contract). Include from an
// ISA file after defining V in the anonymous namespace:
//
//   load(p) load_partial(p, n: zeros beyond) store(p, v) store_partial(p, v, n)  zero() set1(f)
//   add sub mul div fma(a, b, c) = a * b + c   max(a, b) = a > b ? a : b (so b where a is NaN)   abs
//   sum(v) / maximum(v): the tree i + 8, + 4, + 2, + 1
//   from_i32(p) from_i8(p) from_f16(p) from_bf16(p) to_f16(p, v)      16 values, p of the stored type, any alignment
//   to_i8(p, v): round half to even; v is within -128..127
//   pow2(v): 2^v for integral v in -126..127          keep_if_ge(v, x, limit): v where x >= limit, else +0
//   mask_gt(v, threshold): bit i set where lane i > threshold
//   kScoreRows, kScoreVectors (1 or 2), kValueRows, kValueVectors: tiles of attention that fit the registers (attention.inl)
#include "kernels/float_ops.h"
#include "kernels/inline.h"

namespace bitnet {
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

BITNET_INLINE V sigmoid(V x) {
  const V one = V::set1(1.0f);
  return V::div(one, V::add(one, exponential(V::sub(V::set1(0.0f), x))));
}

template <Activation A>
BITNET_INLINE V activate(V x) {
  if constexpr (A == Activation::kRelu2) {
    const V positive = V::max(x, V::set1(0.0f));
    return V::mul(positive, positive);
  } else if constexpr (A == Activation::kSilu) {
    return V::mul(x, sigmoid(x));
  } else {
    // The tanh form of GELU, as x * sigmoid(2u), u = sqrt(2 / pi) * (x + 0.044715 x^3).
    const V cube = V::mul(V::mul(x, x), x);
    const V u = V::mul(V::fma(V::set1(0.044715f), cube, x), V::set1(1.5957691216057308f));
    return V::mul(x, sigmoid(u));
  }
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

// ---- norm and quantisation ---------------------------------------------------------------------------------------------

BITNET_INLINE float inverse_rms(const float* x, size_t n, float epsilon) {
  V squares = V::zero();
  for_each_16(n, [&](size_t i, auto count) BITNET_INLINE_LAMBDA {
    const V v = load_n(x + i, count);
    squares = V::fma(v, v, squares);
  });
  return 1.0f / square_root(V::sum(squares) / static_cast<float>(n) + epsilon);
}

void rms_norm(const float* x, const float* weight, size_t n, float epsilon, float* out) {
  const V r = V::set1(inverse_rms(x, n, epsilon));
  for_each_16(n, [&](size_t i, auto count) BITNET_INLINE_LAMBDA {
    store_n(out + i, V::mul(V::mul(load_n(x + i, count), r), load_n(weight + i, count)), count);
  });
}

// Clamped to -128 .. 127. max(.., -128) also turns a NaN into -128, the same everywhere; min(v, 127) = -max(-v, -127).
BITNET_INLINE V int8_range(V v) {
  const V zero = V::zero();
  return V::sub(zero, V::max(V::sub(zero, V::max(v, V::set1(-128.0f))), V::set1(-127.0f)));
}

BITNET_INLINE QuantizedRow quantize_with_max(const float* x, size_t n, float largest, int8_t* q, size_t stride) {
  const float range = largest > 1e-5f ? largest : 1e-5f;
  const V s = V::set1(127.0f / range);
  for_each_16(n, [&](size_t i, auto count) BITNET_INLINE_LAMBDA {
    V::to_i8(q + i, int8_range(V::mul(load_n(x + i, count), s)));
  });
  // A short last group stored 16 - count zeros beyond n: rows are padded to at least that.
  const size_t written = round_up(n, 16);
  for (size_t i = written; i < stride; i++) q[i] = 0;
  int32_t sum = 0;
  for (size_t i = 0; i < n; i++) sum += q[i];
  return {range / 127.0f, sum};
}

BITNET_INLINE float largest_magnitude(const float* x, size_t n) {
  V largest = V::zero();
  for_each_16(n, [&](size_t i, auto count) BITNET_INLINE_LAMBDA {
    largest = V::max(V::abs(load_n(x + i, count)), largest);
  });
  return V::maximum(largest);
}

QuantizedRow quantize(const float* x, size_t n, int8_t* q, size_t stride) {
  return quantize_with_max(x, n, largest_magnitude(x, n), q, stride);
}

QuantizedRow rms_norm_quantize(const float* x, const float* weight, size_t n, float epsilon, float* normed, int8_t* q,
                               size_t stride) {
  const V r = V::set1(inverse_rms(x, n, epsilon));
  V largest = V::zero();
  for_each_16(n, [&](size_t i, auto count) BITNET_INLINE_LAMBDA {
    const V v = V::mul(V::mul(load_n(x + i, count), r), load_n(weight + i, count));
    largest = V::max(V::abs(v), largest);
    store_n(normed + i, v, count);
  });
  return quantize_with_max(normed, n, V::maximum(largest), q, stride);
}

// ---- integer sums to floats ----------------------------------------------------------------------------------------------

void dequantize(const int32_t* y, const float* row_scale, float scale, size_t n, float* out) {
  const V s = V::set1(scale);
  for_each_16(n, [&](size_t i, auto count) BITNET_INLINE_LAMBDA {
    store_n(out + i, V::mul(int_n(y + i, count), V::mul(load_n(row_scale + i, count), s)), count);
  });
}

void add(const float* x, size_t n, float* h) {
  for_each_16(n, [&](size_t i, auto count) BITNET_INLINE_LAMBDA {
    store_n(h + i, V::add(load_n(h + i, count), load_n(x + i, count)), count);
  });
}

template <Activation A>
BITNET_INLINE void gated_as(const float* gate, const float* up, size_t n, float* out) {
  for_each_16(n, [&](size_t i, auto count) BITNET_INLINE_LAMBDA {
    store_n(out + i, V::mul(activate<A>(load_n(gate + i, count)), load_n(up + i, count)), count);
  });
}

void gated(Activation activation, const float* gate, const float* up, size_t n, float* out) {
  switch (activation) {
    case Activation::kRelu2: return gated_as<Activation::kRelu2>(gate, up, n, out);
    case Activation::kSilu: return gated_as<Activation::kSilu>(gate, up, n, out);
    case Activation::kGelu: return gated_as<Activation::kGelu>(gate, up, n, out);
  }
}

// ---- rotary embedding ------------------------------------------------------------------------------------------------------

void rope(float* x, const float* cosines, const float* sines, size_t half) {
  for_each_16(half, [&](size_t i, auto count) BITNET_INLINE_LAMBDA {
    const V a = load_n(x + i, count), b = load_n(x + half + i, count);
    const V c = load_n(cosines + i, count), s = load_n(sines + i, count);
    store_n(x + i, V::sub(V::mul(a, c), V::mul(b, s)), count);
    store_n(x + half + i, V::add(V::mul(b, c), V::mul(a, s)), count);
  });
}

#include "kernels/attention.inl"

// ---- dense rows ------------------------------------------------------------------------------------------------------------
// Each storage type gives, for the 16 values at i of a row, codes as floats and the factor they share (1 for plain types):
// the accumulator takes fma(codes * factor...) in the form fma(code, x, .) for plain types and fma(code * x, factor, .)
// for block types.

BITNET_INLINE float half_to_float(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 0x3ff;
  uint32_t bits;
  if (exponent == 31) {
    bits = sign | 0x7f800000 | mantissa << 13;
  } else if (exponent) {
    bits = sign | (exponent + 112) << 23 | mantissa << 13;
  } else {
    const float f = static_cast<float>(mantissa) * 5.9604644775390625e-8f;  // subnormal: mantissa * 2^-24, exact
    return sign ? -f : f;
  }
  float f;
  memcpy(&f, &bits, 4);
  return f;
}

BITNET_INLINE uint16_t load_u16(const uint8_t* p) {
  uint16_t v;
  memcpy(&v, p, 2);
  return v;
}

// Q6_K: 256 values = 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 int8 scales, one f16.
BITNET_INLINE void q6k_codes(const uint8_t* block, int8_t* codes) {
  for (int half = 0; half < 2; half++) {
    const uint8_t *low = block + half * 64, *high = block + 128 + half * 32;
    int8_t* out = codes + half * 128;
    for (int l = 0; l < 32; l++) {
      out[l] = static_cast<int8_t>(((low[l] & 15) | (high[l] & 3) << 4) - 32);
      out[l + 32] = static_cast<int8_t>(((low[l + 32] & 15) | (high[l] >> 2 & 3) << 4) - 32);
      out[l + 64] = static_cast<int8_t>((low[l] >> 4 | (high[l] >> 4 & 3) << 4) - 32);
      out[l + 96] = static_cast<int8_t>((low[l + 32] >> 4 | (high[l] >> 6 & 3) << 4) - 32);
    }
  }
}

template <DenseType D>
BITNET_INLINE V plain(const uint8_t* row, size_t i) {
  if constexpr (D == DenseType::kF32) {
    return V::load(reinterpret_cast<const float*>(row) + i);
  } else if constexpr (D == DenseType::kF16) {
    return V::from_f16(reinterpret_cast<const uint16_t*>(row) + i);
  } else {
    return V::from_bf16(reinterpret_cast<const uint16_t*>(row) + i);
  }
}

template <DenseType D>
BITNET_INLINE V plain_partial(const uint8_t* row, size_t i, size_t count) {
  constexpr size_t size = D == DenseType::kF32 ? 4 : 2;
  alignas(64) uint8_t padded[64] = {};
  memcpy(padded, row + i * size, count * size);
  return plain<D>(padded, 0);
}

#include "kernels/dense_blocks.inl"

// R rows x T tokens; row(r) is the address of row r.
template <DenseType D, int R, int T, class Row>
BITNET_INLINE void dense_tile(Row&& row, size_t n, const float* x, size_t ldx, float* y, size_t ldy) {
  V a[R][T];
  unroll<R>([&](auto r) BITNET_INLINE_LAMBDA { unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { a[r][t] = V::zero(); }); });
  if constexpr (D == DenseType::kQ8_0) {
    for (size_t i = 0; i < n; i += 32) {
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
        const uint8_t* block = row(r) + i / 32 * 34;
        const V factor = V::set1(half_to_float(load_u16(block)));
        const V c0 = V::from_i8(reinterpret_cast<const int8_t*>(block + 2));
        const V c1 = V::from_i8(reinterpret_cast<const int8_t*>(block + 18));
        unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
          const float* v = x + t * ldx + i;
          a[r][t] = V::fma(V::fma(c1, V::load(v + 16), V::mul(c0, V::load(v))), factor, a[r][t]);
        });
      });
    }
  } else if constexpr (D == DenseType::kQ6_K) {
    for (size_t i = 0; i < n; i += 256) {
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
        const uint8_t* block = row(r) + i / 256 * 210;
        alignas(64) int8_t codes[256];
        q6k_codes(block, codes);
        const float d = half_to_float(load_u16(block + 208));
        for (int g = 0; g < 16; g++) {
          const V factor = V::set1(d * static_cast<float>(static_cast<int8_t>(block[192 + g])));
          const V c = V::from_i8(codes + 16 * g);
          unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
            a[r][t] = V::fma(V::mul(c, V::load(x + t * ldx + i + 16 * g)), factor, a[r][t]);
          });
        }
      });
    }
  } else {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
      V v[T];
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { v[t] = V::load(x + t * ldx + i); });
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
        const V c = plain<D>(row(r), i);
        unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { a[r][t] = V::fma(c, v[t], a[r][t]); });
      });
    }
    if (i < n) {
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
        const V c = plain_partial<D>(row(r), i, n - i);
        unroll<T>([&](auto t) BITNET_INLINE_LAMBDA {
          a[r][t] = V::fma(c, V::load_partial(x + t * ldx + i, n - i), a[r][t]);
        });
      });
    }
  }
  unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
    unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { y[t * ldy + r] = V::sum(a[r][t]); });
  });
}

template <DenseType D>
BITNET_INLINE void dense_as(const uint8_t* w, size_t n, size_t row_begin, size_t row_end, const float* x, size_t ldx,
                            size_t tokens, float* y, size_t ldy) {
  const size_t row_bytes = dense_row_bytes(D, n);
  size_t r = row_begin;
  for (; r + 4 <= row_end; r += 4) {
    auto row = [&](int i) BITNET_INLINE_LAMBDA { return w + (r + static_cast<size_t>(i)) * row_bytes; };
    size_t t = 0;
    for (; t + 3 <= tokens; t += 3) dense_tile<D, 4, 3>(row, n, x + t * ldx, ldx, y + t * ldy + r, ldy);
    for (; t < tokens; t++) dense_tile<D, 4, 1>(row, n, x + t * ldx, ldx, y + t * ldy + r, ldy);
  }
  for (; r < row_end; r++) {
    auto row = [&](int) BITNET_INLINE_LAMBDA { return w + r * row_bytes; };
    for (size_t t = 0; t < tokens; t++) dense_tile<D, 1, 1>(row, n, x + t * ldx, ldx, y + t * ldy + r, ldy);
  }
}

// Four scattered rows at a time; the next four are fetched meanwhile.
template <DenseType D>
BITNET_INLINE void dense_list_as(const uint8_t* w, size_t n, const int32_t* ids, size_t count, const float* x, float* y) {
  const size_t row_bytes = dense_row_bytes(D, n);
  size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    for (size_t k = i + 4; k < i + 8 && k < count; k++) {
      const uint8_t* next = w + static_cast<size_t>(ids[k]) * row_bytes;
      for (size_t b = 0; b < row_bytes; b += 64) __builtin_prefetch(next + b);
    }
    auto row = [&](int r) BITNET_INLINE_LAMBDA { return w + static_cast<size_t>(ids[i + static_cast<size_t>(r)]) * row_bytes; };
    dense_tile<D, 4, 1>(row, n, x, 0, y + i, 0);
  }
  for (; i < count; i++) {
    auto row = [&](int) BITNET_INLINE_LAMBDA { return w + static_cast<size_t>(ids[i]) * row_bytes; };
    dense_tile<D, 1, 1>(row, n, x, 0, y + i, 0);
  }
}

void dense_list(DenseType type, const uint8_t* w, size_t n, const int32_t* ids, size_t count, const float* x, float* y) {
  switch (type) {
    case DenseType::kF32: return dense_list_as<DenseType::kF32>(w, n, ids, count, x, y);
    case DenseType::kF16: return dense_list_as<DenseType::kF16>(w, n, ids, count, x, y);
    case DenseType::kBf16: return dense_list_as<DenseType::kBf16>(w, n, ids, count, x, y);
    case DenseType::kQ8_0: return dense_list_as<DenseType::kQ8_0>(w, n, ids, count, x, y);
    case DenseType::kQ6_K: return dense_list_as<DenseType::kQ6_K>(w, n, ids, count, x, y);
    default: return block_dense_list(type, w, n, ids, count, x, y);
  }
}

void dense(DenseType type, const uint8_t* w, size_t n, size_t row_begin, size_t row_end, const float* x, size_t ldx,
           size_t tokens, float* y, size_t ldy) {
  switch (type) {
    case DenseType::kF32: return dense_as<DenseType::kF32>(w, n, row_begin, row_end, x, ldx, tokens, y, ldy);
    case DenseType::kF16: return dense_as<DenseType::kF16>(w, n, row_begin, row_end, x, ldx, tokens, y, ldy);
    case DenseType::kBf16: return dense_as<DenseType::kBf16>(w, n, row_begin, row_end, x, ldx, tokens, y, ldy);
    case DenseType::kQ8_0: return dense_as<DenseType::kQ8_0>(w, n, row_begin, row_end, x, ldx, tokens, y, ldy);
    case DenseType::kQ6_K: return dense_as<DenseType::kQ6_K>(w, n, row_begin, row_end, x, ldx, tokens, y, ldy);
    default: return block_dense(type, w, n, row_begin, row_end, x, ldx, tokens, y, ldy);
  }
}

void dense_row(DenseType type, const uint8_t* w, size_t n, size_t row_index, float scale, float* out) {
  if (type >= DenseType::kQ1_0) return block_row(type, w, n, row_index, scale, out);
  const uint8_t* row = w + row_index * dense_row_bytes(type, n);
  const V s = V::set1(scale);
  if (type == DenseType::kQ8_0) {
    for (size_t i = 0; i < n; i += 16) {
      const uint8_t* block = row + i / 32 * 34;
      const V factor = V::set1(half_to_float(load_u16(block)));
      const V c = V::from_i8(reinterpret_cast<const int8_t*>(block + 2 + i % 32));
      V::store(out + i, V::mul(V::mul(c, factor), s));
    }
  } else if (type == DenseType::kQ6_K) {
    for (size_t i = 0; i < n; i += 256) {
      const uint8_t* block = row + i / 256 * 210;
      alignas(64) int8_t codes[256];
      q6k_codes(block, codes);
      const float d = half_to_float(load_u16(block + 208));
      for (int g = 0; g < 16; g++) {
        const V factor = V::set1(d * static_cast<float>(static_cast<int8_t>(block[192 + g])));
        V::store(out + i + 16 * g, V::mul(V::mul(V::from_i8(codes + 16 * g), factor), s));
      }
    }
  } else {
    for (size_t i = 0; i < n; i += 16) {
      const size_t count = n - i < 16 ? n - i : 16;
      V v;
      switch (type) {
        case DenseType::kF32: v = plain_partial<DenseType::kF32>(row, i, count); break;
        case DenseType::kF16: v = plain_partial<DenseType::kF16>(row, i, count); break;
        default: v = plain_partial<DenseType::kBf16>(row, i, count); break;
      }
      V::store_partial(out + i, V::mul(v, s), count);
    }
  }
}

// ---- logits ----------------------------------------------------------------------------------------------------------------

float maximum(const float* x, size_t n) {
  V largest = V::set1(-kInfinity);
  for_each_16(n, [&](size_t i, auto count) BITNET_INLINE_LAMBDA {
    if (static_cast<size_t>(count) == 16) {
      largest = V::max(V::load(x + i), largest);
    } else {
      for (size_t j = 0; j < static_cast<size_t>(count); j++) largest = V::max(V::set1(x[i + j]), largest);
    }
  });
  return V::maximum(largest);
}

float sum_exp(const float* x, size_t n, float maximum_value, float inverse_temperature) {
  const V m = V::set1(maximum_value), s = V::set1(inverse_temperature);
  V total = V::zero();
  for_each_16(n, [&](size_t i, auto count) BITNET_INLINE_LAMBDA {
    V v;
    if (static_cast<size_t>(count) == 16) {
      v = V::load(x + i);
    } else {
      alignas(64) float padded[16];
      for (size_t j = 0; j < 16; j++) padded[j] = j < static_cast<size_t>(count) ? x[i + j] : -kInfinity;
      v = V::load(padded);
    }
    total = V::add(total, exponential(V::mul(V::sub(v, m), s)));
  });
  return V::sum(total);
}

void add_scaled(const float* x, const float* a, float fa, const float* b, float fb, size_t n, float* out) {
  const V va = V::set1(fa), vb = V::set1(fb);
  for_each_16(n, [&](size_t i, auto count) BITNET_INLINE_LAMBDA {
    const V v = V::fma(load_n(a + i, count), va, load_n(x + i, count));
    store_n(out + i, V::fma(load_n(b + i, count), vb, v), count);
  });
}

float weighted_squares(const float* x, const float* weight, size_t n) {
  V total = V::zero();
  for_each_16(n, [&](size_t i, auto count) BITNET_INLINE_LAMBDA {
    const V v = load_n(x + i, count);
    total = V::fma(V::mul(v, v), load_n(weight + i, count), total);
  });
  return V::sum(total);
}

float sketch_row(const float* x, size_t n, uint8_t* codes, float* error, float* column_errors) {
  V squares = V::zero();
  for_each_16(n, [&](size_t i, auto count) BITNET_INLINE_LAMBDA {
    const V v = load_n(x + i, count);
    squares = V::fma(v, v, squares);
  });
  // The best uniform four-level quantiser of a normal distribution has steps of 0.9957 standard deviations (Max 1960).
  const float step = 0.9957f * square_root(V::sum(squares) / static_cast<float>(n));
  const V zero = V::zero(), one = V::set1(1.0f), two = V::set1(2.0f), three = V::set1(3.0f);
  const V high = V::set1(step), low = V::set1(-step);
  V products = V::zero(), norms = V::zero();
  for_each_16(n, [&](size_t i, auto count) BITNET_INLINE_LAMBDA {
    const V v = load_n(x + i, count);
    const V code = V::add(V::add(V::keep_if_ge(one, v, low), V::keep_if_ge(one, v, zero)), V::keep_if_ge(one, v, high));
    alignas(64) int8_t bytes[16];
    V::to_i8(bytes, code);
    for (size_t k = 0; k < static_cast<size_t>(count); k++) codes[i + k] = static_cast<uint8_t>(bytes[k]);
    const V level = V::sub(V::mul(code, two), three);
    products = V::fma(v, level, products);  // a short last group has v = 0
    norms = V::fma(level, level, norms);
  });
  const float norm = V::sum(norms), scale = norm > 0 ? V::sum(products) / norm : 0.0f;
  const V s = V::set1(scale);
  V errors = V::zero();
  for_each_16(n, [&](size_t i, auto count) BITNET_INLINE_LAMBDA {
    const V v = load_n(x + i, count);
    const V code = V::add(V::add(V::keep_if_ge(one, v, low), V::keep_if_ge(one, v, zero)), V::keep_if_ge(one, v, high));
    const V e = V::sub(v, V::mul(s, V::sub(V::mul(code, two), three)));
    const V squared = V::mul(e, e);
    errors = V::add(errors, squared);
    if (column_errors) store_n(column_errors + i, V::add(load_n(column_errors + i, count), squared), count);
  });
  *error = square_root(V::sum(errors) / static_cast<float>(n));
  return scale;
}

size_t select_above(const float* x, size_t n, float threshold, int32_t base, int32_t* ids) {
  const V limit = V::set1(threshold);
  size_t found = 0, i = 0;
  for (; i + 16 <= n; i += 16) {
    uint32_t mask = V::mask_gt(V::load(x + i), limit);
    while (mask) {
      ids[found++] = base + static_cast<int32_t>(i) + lowest_bit(mask);
      mask &= mask - 1;
    }
  }
  for (; i < n; i++) {
    if (x[i] > threshold) ids[found++] = base + static_cast<int32_t>(i);
  }
  return found;
}

}  // namespace
}  // namespace bitnet

// The table of an ISA file: BITNET_FLOAT_OPS(kAvx2FloatOps, "avx2", kAvx2Level)
#define BITNET_FLOAT_OPS(name, level, required)                                                                        \
  extern const FloatOps name = {level, required, rms_norm, quantize,  rms_norm_quantize, dequantize, add,      gated,   \
                                rope,  store_key, store_value, attention, dense, dense_list,   dense_row,  maximum,  sum_exp, \
                                add_scaled, weighted_squares, sketch_row, select_above};
