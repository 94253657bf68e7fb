// Norms, quantisation, activations, rotary embedding and logits, written once over V, and the table of all float operations.
// Include from an instruction set's float_ops.cpp after its float_vector.h.
#include "kernels/float_lanes.inl"

namespace bitnet {
namespace {

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

float sketch_row(const float* x, size_t n, int levels, uint8_t* codes, float* error, float* column_errors, float* rest) {
  V squares = V::zero();
  for_each_16(n, [&](size_t i, auto count) BITNET_INLINE_LAMBDA {
    const V v = load_n(x + i, count);
    squares = V::fma(v, v, squares);
  });
  // The best uniform four-level quantiser of a normal distribution has steps of 0.9957 standard deviations (Max 1960). What
  // it leaves is spread nearly evenly: of that the middle third is 0, with room for the tails.
  const bool four = levels == 4;
  const float step = (four ? 0.9957f : 0.55f) * square_root(V::sum(squares) / static_cast<float>(n));
  const V zero = V::zero(), one = V::set1(1.0f), spread = V::set1(four ? 2.0f : 1.0f);
  const V lowest = V::set1(four ? 3.0f : 1.0f);
  const V high = V::set1(step), low = V::set1(-step), middle = four ? one : zero;
  V products = V::zero(), norms = V::zero();
  for_each_16(n, [&](size_t i, auto count) BITNET_INLINE_LAMBDA {
    const V v = load_n(x + i, count);
    const V code = V::add(V::add(V::keep_if_ge(one, v, low), V::keep_if_ge(middle, v, zero)), V::keep_if_ge(one, v, high));
    alignas(64) int8_t bytes[16];
    V::to_i8(bytes, code);
    for (size_t k = 0; k < static_cast<size_t>(count); k++) codes[i + k] = static_cast<uint8_t>(bytes[k]);
    const V level = V::sub(V::mul(code, spread), lowest);
    products = V::fma(v, level, products);  // a short last group has v = 0
    norms = V::fma(level, level, norms);
  });
  const float norm = V::sum(norms), scale = norm > 0 ? V::sum(products) / norm : 0.0f;
  const V s = V::set1(scale);
  V errors = V::zero();
  for_each_16(n, [&](size_t i, auto count) BITNET_INLINE_LAMBDA {
    const V v = load_n(x + i, count);
    const V code = V::add(V::add(V::keep_if_ge(one, v, low), V::keep_if_ge(middle, v, zero)), V::keep_if_ge(one, v, high));
    const V e = V::sub(v, V::mul(s, V::sub(V::mul(code, spread), lowest)));
    const V squared = V::mul(e, e);
    errors = V::add(errors, squared);
    if (column_errors) store_n(column_errors + i, V::add(load_n(column_errors + i, count), squared), count);
    if (rest) store_n(rest + i, e, count);
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

// The table of an instruction set: BITNET_FLOAT_OPS(kAvx2FloatOps, "avx2", kAvx2Level, avx2_floats), the last being where its
// attention of int8 planes is.
#define BITNET_FLOAT_OPS(name, level, required, bytes)                                                                   \
  namespace bitnet {                                                                                                     \
  extern const FloatOps name = {                                                                                         \
    level, required, rms_norm, quantize, rms_norm_quantize, dequantize, add, gated, rope, BITNET_FLOATS::store_key,      \
    BITNET_FLOATS::store_value, BITNET_FLOATS::attention, bytes::int8_attention, BITNET_FLOATS::dense,                   \
    BITNET_FLOATS::dense_list, BITNET_FLOATS::dense_row, maximum, sum_exp, add_scaled, weighted_squares, sketch_row,     \
    select_above};                                                                                                       \
  }
