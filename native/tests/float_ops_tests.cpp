// The float operations of every instruction set this CPU has, bit for bit against the scalar ones, and the scalar ones
// against double precision.
#include "kernels/float_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "aligned_buffer.h"
#include "tests/tests.h"

using namespace bitnet;

namespace {

using Floats = std::vector<float>;

Floats random_floats(size_t n, std::mt19937& rng, float spread) {
  std::normal_distribution<float> normal(0.0f, spread);
  Floats v(n);
  for (auto& x : v) x = normal(rng);
  return v;
}

std::vector<int32_t> random_ints(size_t n, std::mt19937& rng) {
  std::vector<int32_t> v(n);
  for (auto& x : v) x = static_cast<int32_t>(rng() % 400000) - 200000;
  return v;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || !std::memcmp(a.data(), b.data(), a.size() * sizeof(T)));
}

// Everything an operation wrote, so that two tables can be compared by one memcmp each.
struct Outputs {
  std::vector<std::pair<std::string, std::vector<uint8_t>>> items;
  bool lists_agree = true;  // dense_list gave dense's bits everywhere
  std::vector<std::string> batches_differ;  // where attention of tokens together and alone do
  template <class T>
  void add(const std::string& name, const std::vector<T>& v) {
    const auto* p = reinterpret_cast<const uint8_t*>(v.data());
    items.emplace_back(name, std::vector<uint8_t>(p, p + v.size() * sizeof(T)));
  }
};

void run_rows(const FloatOps& ops, size_t n, uint32_t seed, Outputs& out) {
  std::mt19937 rng(seed);
  const std::string suffix = " n=" + std::to_string(n);
  const Floats x = random_floats(n, rng, 3.0f), weight = random_floats(n, rng, 1.0f), scales = random_floats(n, rng, 0.1f);
  Floats y(n);
  ops.rms_norm(x.data(), weight.data(), n, 1e-5f, y.data());
  out.add("rms_norm" + suffix, y);
  const size_t stride = round_up(n, kActivationPad);
  std::vector<int8_t> q(stride, 55);
  Floats normed(round_up(n, 16));
  QuantizedRow r = ops.rms_norm_quantize(x.data(), weight.data(), n, 1e-5f, normed.data(), q.data(), stride);
  out.add("rms_norm_quantize" + suffix, q);
  out.add("rms_norm_quantize scale" + suffix, Floats{r.scale, static_cast<float>(r.sum)});
  r = ops.quantize(x.data(), n, q.data(), stride);
  out.add("quantize" + suffix, q);
  const auto a = random_ints(n, rng), b = random_ints(n, rng);
  ops.dequantize(a.data(), scales.data(), r.scale, n, y.data());
  out.add("dequantize" + suffix, y);
  ops.add(x.data(), n, y.data());
  out.add("add" + suffix, y);
  Floats gate(n), up(n);
  ops.dequantize(a.data(), scales.data(), 0.0003f, n, gate.data());
  ops.dequantize(b.data(), weight.data(), 0.0003f, n, up.data());
  for (Activation act : {Activation::kRelu2, Activation::kSilu, Activation::kGelu}) {
    ops.gated(act, gate.data(), up.data(), n, y.data());
    out.add("gated " + std::to_string(static_cast<int>(act)) + suffix, y);
  }
  if (n % 2 == 0) {
    Floats z = x;
    ops.rope(z.data(), weight.data(), scales.data(), n / 2);
    out.add("rope" + suffix, z);
  }
  out.add("maximum" + suffix, Floats{ops.maximum(x.data(), n), ops.sum_exp(x.data(), n, ops.maximum(x.data(), n), 1.25f)});
  std::vector<int32_t> ids(n, -1);
  const size_t found = ops.select_above(x.data(), n, 1.0f, 100, ids.data());
  out.add("select_above" + suffix, ids);
  out.add("select_above count" + suffix, std::vector<uint64_t>{found});
}

// Queries, keys and values of one KV head, as an engine would hold them.
struct AttentionCase {
  size_t heads, head_dim, stride, positions;  // of the last token
  KvType type;
  AlignedBuffer<uint8_t> keys, values;
  std::vector<const uint8_t*> key_blocks, value_blocks;
  Floats q, k, v;  // q: [positions][heads + 1][stride], the last no query; k, v as they were before they were stored: [positions][head_dim]

  AttentionCase(const FloatOps& ops, size_t heads_, size_t head_dim_, size_t positions_, KvType type_)
      : heads(heads_), head_dim(head_dim_), stride(round_up(head_dim, 16)), positions(positions_), type(type_) {
    std::mt19937 rng(static_cast<uint32_t>(heads * 1000 + head_dim + positions));
    const size_t blocks = (positions + kKvBlock - 1) / kKvBlock, plane = kv_plane_bytes(type, stride);
    // Filled with a NaN pattern, as memory that nobody wrote may be: what lies beyond `positions` must not matter.
    keys = AlignedBuffer<uint8_t>(blocks * plane);
    values = AlignedBuffer<uint8_t>(blocks * plane);
    std::memset(keys.data(), 0xff, keys.bytes());
    std::memset(values.data(), 0xff, values.bytes());
    for (size_t b = 0; b < blocks; b++) {
      key_blocks.push_back(keys.data() + b * plane);
      value_blocks.push_back(values.data() + b * plane);
    }
    q.assign(positions * (heads + 1) * stride, 0.0f);
    k = random_floats(positions * head_dim, rng, 1.0f);
    v = random_floats(positions * head_dim, rng, 1.0f);
    for (size_t p = 0; p < positions; p++) {
      ops.store_key(&k[p * head_dim], head_dim, stride, type, keys.data() + p / kKvBlock * plane, p % kKvBlock);
      ops.store_value(&v[p * head_dim], head_dim, stride, type, values.data() + p / kKvBlock * plane, p % kKvBlock);
      for (size_t h = 0; h < heads; h++) {
        const Floats x = random_floats(head_dim, rng, 2.0f);
        std::copy(x.begin(), x.end(), q.begin() + static_cast<std::ptrdiff_t>((p * (heads + 1) + h) * stride));
      }
    }
  }

  // The last `tokens` of positions 0 .. end - 1: [tokens][heads][stride].
  Floats attend(const FloatOps& ops, size_t tokens, size_t end, size_t window) const {
    const size_t rows = tokens * heads, scores_stride = attention_scores_stride(end);
    Floats scores(rows * scores_stride, NAN), scratch(attention_scratch(rows, stride), NAN), y(rows * stride, NAN);
    AttentionArgs a;
    a.q = &q[(end - tokens) * (heads + 1) * stride];
    a.heads = heads;
    a.head_stride = stride;
    a.tokens = tokens;
    a.token_stride = (heads + 1) * stride;
    a.keys = key_blocks.data();
    a.values = value_blocks.data();
    a.positions = end - tokens + 1;
    a.window = window;
    a.type = type;
    a.scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
    a.scores = scores.data();
    a.scores_stride = scores_stride;
    a.scratch = scratch.data();
    a.out = y.data();
    (type == KvType::kInt8 ? ops.int8_attention : ops.attention)(a);
    return y;
  }
};

// Tokens attended together get the bits that each gets alone, whatever their number.
void run_attention(const FloatOps& ops, size_t heads, size_t head_dim, size_t positions, KvType type, Outputs& out) {
  const AttentionCase c(ops, heads, head_dim, positions, type);
  const std::string suffix = " heads=" + std::to_string(heads) + " dim=" + std::to_string(head_dim) + " positions=" +
                             std::to_string(positions) + " type=" + std::to_string(static_cast<int>(type));
  constexpr size_t kTogether[] = {2, 3, 12, 37};
  for (size_t window : {SIZE_MAX, size_t{37}, size_t{2}}) {
    const std::string name = suffix + " window=" + std::to_string(window);
    Floats alone;  // the last tokens, as many as are attended together at most
    for (size_t end = positions - std::min(positions, kTogether[3]) + 1; end <= positions; end++) {
      const Floats one = c.attend(ops, 1, end, window);
      alone.insert(alone.end(), one.begin(), one.end());
    }
    const size_t size = heads * c.stride;  // of one token's output
    out.add("attention" + name, Floats(alone.end() - static_cast<std::ptrdiff_t>(size), alone.end()));
    for (size_t tokens : kTogether) {
      if (tokens > positions) continue;
      const Floats last(alone.end() - static_cast<std::ptrdiff_t>(tokens * size), alone.end());
      if (!same_bits(c.attend(ops, tokens, positions, window), last)) {
        out.batches_differ.push_back(std::to_string(tokens) + " tokens," + name);
      }
    }
  }
}

void run_dense(const FloatOps& ops, DenseType type, size_t n, size_t tokens, Outputs& out) {
  std::mt19937 rng(static_cast<uint32_t>(n + tokens));
  const size_t rows = 13, row_bytes = dense_row_bytes(type, n);
  if (!row_bytes) return;
  std::vector<uint8_t> w(rows * row_bytes);
  for (auto& b : w) b = static_cast<uint8_t>(rng());
  // Random bytes make a valid matrix of every type but for infinities and NaNs in the float fields: those are cleared.
  auto tame_f16 = [&](size_t at) { w[at + 1] = static_cast<uint8_t>((w[at + 1] & 0x80) | 0x20 | (w[at + 1] & 0x1b)); };
  for (size_t r = 0; r < rows; r++) {
    const size_t base = r * row_bytes;
    for (size_t i = 0; i < n; i++) {
      if (type == DenseType::kF32) w[base + 4 * i + 3] = (w[base + 4 * i + 3] & 0x80) | 0x3f;
      if (type == DenseType::kF16) tame_f16(base + 2 * i);
      if (type == DenseType::kBf16) w[base + 2 * i + 1] = (w[base + 2 * i + 1] & 0x80) | 0x3f;
    }
    for (size_t i = 0; type == DenseType::kQ8_0 && i < n / 32; i++) tame_f16(base + i * 34);
    for (size_t i = 0; type == DenseType::kQ6_K && i < n / 256; i++) tame_f16(base + i * 210 + 208);
    // Types of equal blocks: columns, bytes, and where their f16 fields stand.
    struct Fields { DenseType type; size_t columns, bytes, first, last; };
    for (const Fields& f : {Fields{DenseType::kQ1_0, 128, 18, 0, 0}, Fields{DenseType::kQ2_0G64, 64, 18, 0, 0},
                            Fields{DenseType::kQ2_0G128, 128, 34, 0, 0}, Fields{DenseType::kTq1_0, 256, 54, 52, 52},
                            Fields{DenseType::kTq2_0, 256, 66, 64, 64}, Fields{DenseType::kPtq1_0, 128, 28, 26, 26},
                            Fields{DenseType::kQ4_0, 32, 18, 0, 0}, Fields{DenseType::kQ4_K, 256, 144, 0, 2}}) {
      for (size_t i = 0; type == f.type && i < n / f.columns; i++) {
        tame_f16(base + i * f.bytes + f.first);
        tame_f16(base + i * f.bytes + f.last);
      }
    }
  }
  const Floats x = random_floats(n * tokens, rng, 1.0f);
  Floats y(rows * tokens), row(n);
  ops.dense(type, w.data(), n, 0, rows, x.data(), n, tokens, y.data(), rows);
  const std::string suffix = " type=" + std::to_string(static_cast<int>(type)) + " n=" + std::to_string(n);
  out.add("dense" + suffix + " tokens=" + std::to_string(tokens), y);
  ops.dense_row(type, w.data(), n, 7, 1.5f, row.data());
  out.add("dense_row" + suffix, row);
  const int32_t ids[] = {12, 3, 3, 0, 7};
  Floats listed(5);
  ops.dense_list(type, w.data(), n, ids, 5, x.data(), listed.data());
  for (size_t i = 0; i < 5; i++) out.lists_agree &= !std::memcmp(&listed[i], &y[static_cast<size_t>(ids[i])], 4);
}

Outputs run_all(const FloatOps& ops, Scope scope) {
  Outputs out;
  for (const size_t n : std::initializer_list<size_t>{1, 15, 16, 17, 32, 100, 256, 770}) run_rows(ops, n, static_cast<uint32_t>(n), out);
  if (scope == Scope::kFull) run_rows(ops, 6912, 1, out);
  const std::vector<size_t> all_heads = {1, 2, 3, 4, 5, 7}, all_dims = {32, 64, 100, 128}, all_positions = {1, 4, 31, 33, 75};
  for (size_t h = 0; h < all_heads.size(); h++) {
    for (size_t d = 0; d < all_dims.size(); d++) {
      for (size_t p = 0; p < all_positions.size(); p++) {
        // Without the full product: each two of heads, dimension and positions meet, but for one in five; or each value occurs.
        if (scope == Scope::kQuick && p != (h + d) % all_positions.size()) continue;
        if (scope == Scope::kSmoke && (d != h % all_dims.size() || p != h % all_positions.size())) continue;
        for (KvType type : {KvType::kF16, KvType::kF32, KvType::kInt8}) {
          run_attention(ops, all_heads[h], all_dims[d], all_positions[p], type, out);
        }
      }
    }
  }
  for (int i = 0; i <= static_cast<int>(DenseType::kQ4_K); i++) {
    const auto type = static_cast<DenseType>(i);
    for (const size_t n : std::initializer_list<size_t>{20, 96, 256, 768}) {
      for (const size_t tokens : std::initializer_list<size_t>{1, 2, 3, 4, 7}) run_dense(ops, type, n, tokens, out);
    }
  }
  return out;
}

// Conversions over every half-precision value and its neighbours.
void check_half_conversions(const FloatOps& ops, TestResult& result) {
  std::vector<float> x(16);
  std::vector<uint16_t> ours(16), reference(16);
  bool ok = true;
  for (uint32_t h = 0; h < 65536 && ok; h += 16) {
    for (uint32_t i = 0; i < 16; i++) {
      uint32_t bits = (h + i) << 16;  // spreads over all exponents of a float
      bits ^= (h + i) * 2654435761u >> 16;
      std::memcpy(&x[i], &bits, 4);
      if (std::isnan(x[i])) x[i] = 1.0f;
    }
    ops.store_value(x.data(), 16, 16, KvType::kF16, reinterpret_cast<uint8_t*>(ours.data()), 0);
    kScalarFloatOps.store_value(x.data(), 16, 16, KvType::kF16, reinterpret_cast<uint8_t*>(reference.data()), 0);
    ok = same_bits(ours, reference);
  }
  result.check(ok, std::string("f32 -> f16 of ") + ops.level);
}

void check_against_double(TestResult& result) {
  const auto& ops = kScalarFloatOps;
  // sum_exp of one value is the exponential itself.
  double worst = 0;
  for (double x = -86; x < 0; x += 0.01) {
    const float f = static_cast<float>(x);
    const double got = ops.sum_exp(&f, 1, 0.0f, 1.0f), want = std::exp(static_cast<double>(f));
    worst = std::max(worst, std::fabs(got - want) / want);
  }
  result.check(worst < 2e-7, "exp: relative error " + std::to_string(worst));
  std::mt19937 rng(5);
  const Floats x = random_floats(777, rng, 2.0f), w = random_floats(777, rng, 1.0f);
  Floats y(777);
  ops.rms_norm(x.data(), w.data(), 777, 1e-5f, y.data());
  double squares = 0;
  for (float v : x) squares += static_cast<double>(v) * v;
  worst = 0;
  for (size_t i = 0; i < 777; i++) {
    worst = std::max(worst, std::fabs(y[i] - x[i] / std::sqrt(squares / 777 + 1e-5) * w[i]));
  }
  result.check(worst < 1e-5, "rms_norm against double: " + std::to_string(worst));
}

// Half precision as its definition has it.
double from_half(uint16_t h) {
  const int exponent = h >> 10 & 31, mantissa = h & 1023;
  const double magnitude = exponent ? std::ldexp(1024 + mantissa, exponent - 25) : std::ldexp(mantissa, -24);
  return h & 0x8000 ? -magnitude : magnitude;
}

// What a plane says is at a position, read by the layout that float_ops.h states.
double stored(const uint8_t* plane, KvType type, size_t stride, bool key, size_t dimension, size_t position) {
  float f = 0;
  uint16_t h;
  const size_t element = key ? dimension * kKvBlock + position : position * stride + dimension;
  switch (type) {
    case KvType::kF32: std::memcpy(&f, plane + element * 4, 4); return f;
    case KvType::kF16: std::memcpy(&h, plane + element * 2, 2); return from_half(h);
    case KvType::kInt8: std::memcpy(&f, plane + kKvBlock * stride + position * 4, 4); break;
  }
  if (key) return (plane[(dimension / 4 * kKvBlock + position) * 4 + dimension % 4] - 128) * static_cast<double>(f);
  return static_cast<int8_t>(plane[(position / 4 * stride + dimension) * 4 + position % 4]) * static_cast<double>(f);
}

// Attention of one query over int8 planes in float64, as attention_int8.inl states it: codes of the query, and of the weights
// by spans. Returns by how much `got` is further from it than rounding explains: a weight that lies half-way between two codes
// may have become either, and weights of 1e-35 may be lost.
template <class Key, class Value>
double beyond_rounding(const float* q, size_t dim, size_t from, size_t until, const Key& key, const Value& value, const float* got) {
  double range = 0;
  for (size_t i = 0; i < dim; i++) range = std::max(range, std::fabs(static_cast<double>(q[i])));
  std::vector<double> weights(until), scales(until), steps(until), codes(until);
  std::vector<bool> either(until);
  double largest = -1e300, total = 0;
  for (size_t p = from; p < until; p++) {
    for (size_t i = 0; i < dim; i++) {
      weights[p] += std::nearbyint(q[i] * 127 / range) * range / 127 * key(p, i) * 0.1;
      scales[p] = std::max(scales[p], std::fabs(value(p, i)) / 127);  // the largest of a row has the code 127
    }
    largest = std::max(largest, weights[p]);
  }
  for (size_t p = from; p < until; p++) total += weights[p] = std::exp(weights[p] - largest);
  for (size_t span = from / kKvSpan; span * kKvSpan < until; span++) {
    const size_t begin = std::max(from, span * kKvSpan), end = std::min(until, (span + 1) * kKvSpan);
    double most = 0;
    for (size_t p = begin; p < end; p++) most = std::max(most, weights[p] * scales[p]);
    for (size_t p = begin; p < end; p++) {
      const double exact = most > 0 ? weights[p] * scales[p] * 255 / most : 0;
      codes[p] = std::nearbyint(exact);
      steps[p] = scales[p] > 0 ? most / 255 / scales[p] : 0;
      either[p] = std::fabs(exact - std::floor(exact) - 0.5) < 0.02;
    }
  }
  double worst = -1e300;
  for (size_t i = 0; i < dim; i++) {
    double expected = 0, doubt = 0, size = 0;
    for (size_t p = from; p < until; p++) {
      expected += codes[p] * steps[p] * value(p, i) / total;
      size += codes[p] * steps[p] * std::fabs(value(p, i)) / total;
      if (either[p]) doubt += steps[p] * std::fabs(value(p, i)) / total;
    }
    worst = std::max(worst, std::fabs(got[i] - expected) - doubt - 2e-5 * size - 1e-33);
  }
  return worst;
}

// Stored keys and values are as near to what was stored as their type allows, and attention over them is float64's, of int8
// planes with its codes.
void check_attention(KvType type, size_t heads, size_t window, TestResult& result) {
  constexpr size_t kDim = 100, kStride = 112, kPositions = 75, kTokens = 5;
  const auto& ops = kScalarFloatOps;
  AttentionCase c(ops, heads, kDim, kPositions, type);
  const size_t plane = kv_plane_bytes(type, kStride);
  // Rows of very different sizes, one in seven all zero.
  for (size_t p = 0; p < kPositions; p++) {
    const float size = p % 7 ? std::ldexp(1.0f, static_cast<int>(p % 5) * 2 - 4) : 0.0f;
    for (size_t i = 0; i < kDim; i++) c.k[p * kDim + i] *= size;
    for (size_t i = 0; i < kDim; i++) c.v[p * kDim + i] *= size;
    ops.store_key(&c.k[p * kDim], kDim, kStride, type, c.keys.data() + p / kKvBlock * plane, p % kKvBlock);
    ops.store_value(&c.v[p * kDim], kDim, kStride, type, c.values.data() + p / kKvBlock * plane, p % kKvBlock);
  }
  auto key = [&](size_t p, size_t i) {
    return stored(c.key_blocks[p / kKvBlock], type, kStride, true, i, p % kKvBlock);
  };
  auto value = [&](size_t p, size_t i) {
    return stored(c.value_blocks[p / kKvBlock], type, kStride, false, i, p % kKvBlock);
  };
  const std::string name = "attention type " + std::to_string(static_cast<int>(type)) + ", " + std::to_string(heads) + " heads";
  double worst = 0;
  for (size_t p = 0; p < kPositions; p++) {
    double largest[2] = {0, 0};
    for (size_t i = 0; i < kDim; i++) {
      largest[0] = std::max(largest[0], std::fabs(static_cast<double>(c.k[p * kDim + i])));
      largest[1] = std::max(largest[1], std::fabs(static_cast<double>(c.v[p * kDim + i])));
    }
    for (size_t i = 0; i < kDim; i++) {
      const double pairs[2][2] = {{c.k[p * kDim + i], key(p, i)}, {c.v[p * kDim + i], value(p, i)}};
      for (int kind = 0; kind < 2; kind++) {
        const auto [given, kept] = pairs[kind];
        const double bound = type == KvType::kF32   ? 0
                             : type == KvType::kF16 ? std::fabs(given) * 0x1p-11 + 0x1p-25
                                                    : largest[kind] / 254 * 1.00001;
        worst = std::max(worst, std::fabs(given - kept) - bound);
      }
    }
  }
  result.check(worst <= 0, name + ": stored keys and values are off by " + std::to_string(worst));

  const Floats y = c.attend(ops, kTokens, kPositions, window);
  double error = 0, size = 0, beyond = -1;
  for (size_t t = 0; t < kTokens; t++) {
    const size_t until = kPositions - kTokens + t + 1, from = until > window ? until - window : 0;
    for (size_t h = 0; h < heads; h++) {
      const float* q = &c.q[((until - 1) * (heads + 1) + h) * kStride];
      const float* got = &y[(t * heads + h) * kStride];
      if (type == KvType::kInt8) {
        beyond = std::max(beyond, beyond_rounding(q, kDim, from, until, key, value, got));
        continue;
      }
      std::vector<double> weights(until);
      double total = 0, largest = -1e300;
      for (size_t p = from; p < until; p++) {
        for (size_t i = 0; i < kDim; i++) weights[p] += q[i] * key(p, i);
        largest = std::max(largest, weights[p] *= 0.1);
      }
      for (size_t p = from; p < until; p++) total += weights[p] = std::exp(weights[p] - largest);
      for (size_t i = 0; i < kDim; i++) {
        double expected = 0;
        for (size_t p = from; p < until; p++) expected += weights[p] / total * value(p, i);
        error = std::max(error, std::fabs(expected - got[i]));
        size = std::max(size, std::fabs(expected));
      }
    }
  }
  // Scores reach 60, which floats hold to 4e-6.
  result.check(error <= 1e-5 * size, name + " against double: " + std::to_string(error / size));
  result.check(beyond <= 0, name + " is further from double than rounding explains: " + std::to_string(beyond));
}

// What the codes of queries, keys, values and weights cost: attention against float64's over what was stored, without any.
void check_coding(TestResult& result) {
  constexpr size_t kDim = 128, kHeads = 4, kPositions = 300, kTokens = 30;
  const AttentionCase c(kScalarFloatOps, kHeads, kDim, kPositions, KvType::kInt8);
  const Floats y = c.attend(kScalarFloatOps, kTokens, kPositions, SIZE_MAX);
  double error = 0, size = 0;
  for (size_t t = 0; t < kTokens; t++) {
    const size_t until = kPositions - kTokens + t + 1;
    for (size_t h = 0; h < kHeads; h++) {
      const float* q = &c.q[((until - 1) * (kHeads + 1) + h) * kDim];
      std::vector<double> weights(until);
      double total = 0;
      for (size_t p = 0; p < until; p++) {
        for (size_t i = 0; i < kDim; i++) weights[p] += static_cast<double>(q[i]) * c.k[p * kDim + i];
        total += weights[p] = std::exp(weights[p] / std::sqrt(static_cast<double>(kDim)));
      }
      for (size_t i = 0; i < kDim; i++) {
        double expected = 0;
        for (size_t p = 0; p < until; p++) expected += weights[p] / total * c.v[p * kDim + i];
        const double off = expected - y[(t * kHeads + h) * kDim + i];
        error += off * off;
        size += expected * expected;
      }
    }
  }
  // By count of roundings, of normally distributed numbers: keys and queries 1.1 % each, values 0.7, weights 0.6.
  error = std::sqrt(error / size);
  result.check(error > 0 && error < 0.025, "int8 attention is off by " + std::to_string(error));
}

void check_agreement(const FloatOps& ops, const Outputs& got, TestResult& result) {
  result.check(got.lists_agree, std::string(ops.level) + " dense_list differs from dense");
  for (const auto& what : got.batches_differ) {
    result.check(false, std::string(ops.level) + " attention of tokens together differs: " + what);
  }
}

}  // namespace

void test_float_ops(Scope scope, TestResult& result) {
  std::vector<const FloatOps*> tables;
#if defined(__x86_64__) || defined(_M_X64)
  tables = {&kAvx2FloatOps, &kAvx512FloatOps};
#if defined(BITNET_HAVE_AVX_VNNI)
  tables.push_back(&kAvxVnniFloatOps);
#endif
#elif defined(__aarch64__) || defined(_M_ARM64)
  tables = {&kNeonFloatOps};
#if defined(BITNET_HAVE_NEON_DOTPROD)
  tables.push_back(&kNeonDotprodFloatOps);
#endif
#endif
  Outputs expected;
  run_section(result, "float operations scalar", [&] {
    check_against_double(result);
    for (KvType type : {KvType::kF32, KvType::kF16, KvType::kInt8}) {
      for (size_t heads : {1, 4, 5}) {
        check_attention(type, heads, SIZE_MAX, result);
        check_attention(type, heads, 40, result);
      }
    }
    check_coding(result);
    check_half_conversions(kScalarFloatOps, result);
    expected = run_all(kScalarFloatOps, scope);
    check_agreement(kScalarFloatOps, expected, result);
  });
  for (const auto* ops : tables) {
    const std::string name = std::string("float operations ") + ops->level;
    if (ops->required & ~cpu_features()) {
      result.skip(name);
      continue;
    }
    run_section(result, name, [&] {
      const Outputs got = run_all(*ops, scope);
      for (size_t i = 0; i < expected.items.size(); i++) {
        result.check(got.items[i].second == expected.items[i].second,
                     std::string(ops->level) + " differs from scalar: " + expected.items[i].first);
      }
      check_agreement(*ops, got, result);
      check_half_conversions(*ops, result);
    });
  }
}
