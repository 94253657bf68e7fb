// Attention over f32 and f16 keys and values, written once over V. Include from an instruction set's attention.cpp after its
// float_vector.h.
//
// Each lane of a score is a position: a score sums over the dimensions in rising order, one fused multiply-add each. A
// lane of the output is a dimension: it sums over the attended positions in rising order. So no sum runs across lanes, and
// a query's bits don't depend on which queries and positions it is worked on with. That leaves free to go through keys and
// values block by block and meet each with all queries at hand, as many of them in registers as the tile sizes of V say:
//
//   kScoreRows x kScoreVectors * 16 positions, kValueRows x kValueVectors * 16 dimensions

#include "kernels/attention_queries.inl"

namespace bitnet {
namespace {

// ---- keys and values in the cache --------------------------------------------------------------------------------------

// Calls f(i, 16 stored elements) for each group of 16 of x, zeros beyond n.
template <KvType T, class F>
BITNET_INLINE void pack_row(const float* x, size_t n, F&& f) {
  for_each_16(n, [&](size_t i, auto count) BITNET_INLINE_LAMBDA {
    alignas(64) uint8_t packed[16 * kv_bytes(T)];
    if constexpr (T == KvType::kF32) {
      V::store(reinterpret_cast<float*>(packed), load_n(x + i, count));
    } else {
      V::to_f16(reinterpret_cast<uint16_t*>(packed), load_n(x + i, count));
    }
    f(i, packed);
  });
}

template <KvType T>
BITNET_INLINE void store_key_as(const float* x, size_t n, uint8_t* plane, size_t position) {
  constexpr size_t size = kv_bytes(T);
  pack_row<T>(x, n, [&](size_t i, const uint8_t* packed) BITNET_INLINE_LAMBDA {
    for (size_t d = 0; d < 16; d++) memcpy(plane + ((i + d) * kKvBlock + position) * size, packed + d * size, size);
  });
}

template <KvType T>
BITNET_INLINE void store_value_as(const float* x, size_t n, size_t stride, uint8_t* plane, size_t position) {
  constexpr size_t size = kv_bytes(T);
  pack_row<T>(x, n, [&](size_t i, const uint8_t* packed) BITNET_INLINE_LAMBDA {
    memcpy(plane + (position * stride + i) * size, packed, 16 * size);
  });
}

// Calls f(dimension, code) for the int8 codes of x, zeros beyond n up to `stride`, and keeps their scale.
template <class F>
BITNET_INLINE void pack_int8(const float* x, size_t n, size_t stride, uint8_t* plane, size_t position, F&& f) {
  const CodeScale scale = code_scale(x, n);
  memcpy(plane + kv_scales_offset(stride) + position * sizeof(float), &scale.scale, sizeof(float));
  for_each_16(n, [&](size_t i, auto count) BITNET_INLINE_LAMBDA {
    alignas(16) int8_t codes[16];
    V::to_i8(codes, scale.codes(load_n(x + i, count)));
    for (size_t d = 0; d < 16; d++) f(i + d, codes[d]);
  });
}

BITNET_INLINE void store_int8_key(const float* x, size_t n, size_t stride, uint8_t* plane, size_t position) {
  pack_int8(x, n, stride, plane, position, [&](size_t d, int8_t code) BITNET_INLINE_LAMBDA {
    plane[(d / 4 * kKvBlock + position) * 4 + d % 4] = static_cast<uint8_t>(code + kKeyOffset);
  });
}

BITNET_INLINE void store_int8_value(const float* x, size_t n, size_t stride, uint8_t* plane, size_t position) {
  pack_int8(x, n, stride, plane, position, [&](size_t d, int8_t code) BITNET_INLINE_LAMBDA {
    plane[(position / 4 * stride + d) * 4 + position % 4] = static_cast<uint8_t>(code);
  });
}

template <KvType T>
BITNET_INLINE V load_kv(const uint8_t* p, size_t i) {
  if constexpr (T == KvType::kF32) {
    return V::load(reinterpret_cast<const float*>(p) + i);
  } else {
    return V::from_f16(reinterpret_cast<const uint16_t*>(p) + i);
  }
}

// ---- tiles -------------------------------------------------------------------------------------------------------------

struct FloatQueries : Queries {
  float* packed;  // [row tile][dimension][row of the tile]
  float* plane;   // a block in floats
};

// Scores of M queries with 16 N positions of a block; `keys` at the first of them. What is fetched: the next block.
template <KvType T, int M, int N, bool Packed>
BITNET_INLINE void score_tile(const float* q, size_t q_stride, size_t dims, const uint8_t* keys, const uint8_t* ahead,
                              V (&sums)[M][N]) {
  unroll<M>([&](auto m) BITNET_INLINE_LAMBDA { unroll<N>([&](auto n) BITNET_INLINE_LAMBDA { sums[m][n] = V::zero(); }); });
  constexpr size_t row = kKvBlock * kv_bytes(T);
  for (size_t d = 0; d < dims; d++, keys += row) {
    if constexpr (!Packed) fetch(ahead + d * row);
    V k[N];
    unroll<N>([&](auto n) BITNET_INLINE_LAMBDA { k[n] = load_kv<T>(keys, 16 * n); });
    unroll<M>([&](auto m) BITNET_INLINE_LAMBDA {
      const V v = V::set1(Packed ? q[d * M + m] : q[m * q_stride + d]);
      unroll<N>([&](auto n) BITNET_INLINE_LAMBDA { sums[m][n] = V::fma(v, k[n], sums[m][n]); });
    });
    no_loads_ahead();
  }
}

template <KvType T, bool Packed>
void score_block(const FloatQueries& s, size_t block, const uint8_t* keys, const uint8_t* ahead) {
  constexpr int N = V::kScoreVectors;
  const AttentionArgs& a = s.a;
  const size_t begin = block * kKvBlock;
  auto tile = [&](auto rows, size_t row) BITNET_INLINE_LAMBDA {
    constexpr int M = decltype(rows)::value;
    if (s.until(row + M - 1) <= begin || s.from(row) >= begin + kKvBlock) return;
    const float* q = Packed ? s.packed + row * a.head_stride : s.query(row);
    for (size_t p = 0; p < kKvBlock; p += 16 * N) {
      V sums[M][N];
      score_tile<T, M, N, Packed>(q, a.head_stride, a.head_stride, keys + p * kv_bytes(T), ahead, sums);
      unroll<N>([&](auto n) BITNET_INLINE_LAMBDA {
        const V factor = V::set1(a.scale);
        unroll<M>([&](auto m) BITNET_INLINE_LAMBDA {
          V::store(s.weights(row + m) + begin + p + 16 * n, V::mul(sums[m][n], factor));
        });
      });
    }
  };
  row_tiles<Packed ? V::kScoreRows : smaller(V::kScoreRows, 4)>(0, s.rows, tile);
}

// Scores to exponentials. Returns 1 / their sum.
BITNET_INLINE float weigh(const Queries& s, size_t row) {
  float* w = s.weights(row);
  const size_t begin = s.from(row) / 16 * 16, end = round_up(s.until(row), 16);
  const V maximum = V::set1(largest_score(s, row, begin, end));
  V total = V::zero();
  for (size_t p = begin; p < end; p += 16) {
    const V e = exponential(V::sub(V::load(w + p), maximum));
    total = V::add(total, e);
    V::store(w + p, e);
  }
  return 1.0f / V::sum(total);
}

// out += weights * values for M queries, `count` positions and 16 N dimensions.
template <KvType T, int M, int N>
BITNET_INLINE void value_tile(const float* w, size_t w_stride, const uint8_t* values, size_t row_bytes, size_t count,
                              const uint8_t* ahead, float* out, size_t out_stride) {
  V sums[M][N];
  unroll<M>([&](auto m) BITNET_INLINE_LAMBDA {
    unroll<N>([&](auto n) BITNET_INLINE_LAMBDA { sums[m][n] = V::load(out + m * out_stride + 16 * n); });
  });
  for (size_t p = 0; p < count; p++, values += row_bytes) {
    if (ahead) {
      for (size_t b = 0; b < 16 * N * kv_bytes(T); b += 64) fetch(ahead + p * row_bytes + b);
    }
    V v[N];
    unroll<N>([&](auto n) BITNET_INLINE_LAMBDA { v[n] = load_kv<T>(values, 16 * n); });
    unroll<M>([&](auto m) BITNET_INLINE_LAMBDA {
      const V weight = V::set1(w[m * w_stride + p]);
      unroll<N>([&](auto n) BITNET_INLINE_LAMBDA { sums[m][n] = V::fma(weight, v[n], sums[m][n]); });
    });
    no_loads_ahead();
  }
  unroll<M>([&](auto m) BITNET_INLINE_LAMBDA {
    unroll<N>([&](auto n) BITNET_INLINE_LAMBDA { V::store(out + m * out_stride + 16 * n, sums[m][n]); });
  });
}

// Positions begin .. end - 1 of a block for the M queries from `row` on.
template <KvType T, int M>
BITNET_INLINE void value_rows(const Queries& s, size_t row, size_t block, size_t begin, size_t end, const uint8_t* values,
                              const uint8_t* ahead) {
  if (begin >= end) return;
  const AttentionArgs& a = s.a;
  constexpr int N = V::kValueVectors;
  const size_t row_bytes = a.head_stride * kv_bytes(T), p = begin - block * kKvBlock;
  const float* w = s.weights(row) + begin;
  auto tile = [&](auto vectors, size_t d) BITNET_INLINE_LAMBDA {
    const size_t at = p * row_bytes + d * kv_bytes(T);
    value_tile<T, M, decltype(vectors)::value>(w, a.scores_stride, values + at, row_bytes, end - begin,
                                               ahead ? ahead + at : nullptr, s.out(row) + d, a.head_stride);
  };
  size_t d = 0;
  for (; d + 16 * N <= a.head_stride; d += 16 * N) tile(std::integral_constant<int, N>{}, d);
  if constexpr (N > 1) {
    for (; d < a.head_stride; d += 16) tile(std::integral_constant<int, 1>{}, d);
  }
}

// Only positions that a query attends are read for it: what stands elsewhere may be infinite.
template <KvType T, bool Packed>
void value_block(const Queries& s, size_t block, const uint8_t* values, const uint8_t* ahead) {
  const size_t begin = block * kKvBlock, end = begin + kKvBlock;
  auto tile = [&](auto rows, size_t row) BITNET_INLINE_LAMBDA {
    constexpr int M = decltype(rows)::value;
    // Attended by all M; a tile of more tokens than the window has positions has nothing in common.
    size_t from = s.from(row + M - 1), until = s.until(row);
    if (from >= until) from = until = SIZE_MAX;
    for (size_t m = row; m < row + M && M > 1; m++) {
      value_rows<T, 1>(s, m, block, larger(begin, s.from(m)), smaller(smaller(end, s.until(m)), from), values, ahead);
    }
    value_rows<T, M>(s, row, block, larger(begin, from), smaller(end, until), values, ahead);
    for (size_t m = row; m < row + M && M > 1; m++) {
      value_rows<T, 1>(s, m, block, larger(larger(begin, s.from(m)), until), smaller(end, s.until(m)), values, ahead);
    }
  };
  row_tiles<Packed ? V::kValueRows : smaller(V::kValueRows, 4)>(0, s.rows, tile);
}

// ---- all together --------------------------------------------------------------------------------------------------------

BITNET_INLINE void pack_queries(const FloatQueries& s) {
  float* out = s.packed;
  auto tile = [&](auto rows, size_t row) BITNET_INLINE_LAMBDA {
    constexpr int M = decltype(rows)::value;
    const float* q[M];
    for (size_t m = 0; m < M; m++) q[m] = s.query(row + m);
    for (size_t d = 0; d < s.a.head_stride; d++) {
      for (size_t m = 0; m < M; m++) *out++ = q[m][d];
    }
  };
  row_tiles<V::kScoreRows>(0, s.rows, tile);
}

// A block's plane as floats, in its order; the next one is fetched meanwhile.
template <KvType T>
BITNET_INLINE const uint8_t* plane_floats(const FloatQueries& s, const uint8_t* plane, const uint8_t* ahead) {
  if constexpr (T == KvType::kF32) return plane;
  for (size_t i = 0; i < kKvBlock * s.a.head_stride; i += 16) {
    if (i * kv_bytes(T) % 64 == 0) fetch(ahead + i * kv_bytes(T));
    V::store(s.plane + i, load_kv<T>(plane, i));
  }
  return reinterpret_cast<const uint8_t*>(s.plane);
}

template <KvType T, bool Packed>
BITNET_INLINE void attend(const FloatQueries& s) {
  const AttentionArgs& a = s.a;
  constexpr KvType Used = Packed ? KvType::kF32 : T;
  const size_t first = s.from(0) / kKvBlock, last = (s.end - 1) / kKvBlock;
  if constexpr (Packed) pack_queries(s);
  for (size_t b = first; b <= last; b++) {
    // The planes of one head lie megabytes apart: the CPU's own prefetching ends with each.
    const uint8_t* ahead = b < last ? a.keys[b + 1] : a.values[first];
    score_block<Used, Packed>(s, b, Packed ? plane_floats<T>(s, a.keys[b], ahead) : a.keys[b], ahead);
  }
  clear_outputs(s);
  float* inverse_sums = s.plane + kKvBlock * a.head_stride;
  for (size_t r = 0; r < s.rows; r++) inverse_sums[r] = weigh(s, r);
  for (size_t b = first; b <= last; b++) {
    const uint8_t* ahead = a.values[b < last ? b + 1 : b];
    value_block<Used, Packed>(s, b, Packed ? plane_floats<T>(s, a.values[b], ahead) : a.values[b], Used == T ? ahead : nullptr);
  }
  scale_outputs(s, inverse_sums);
}

template <KvType T>
BITNET_INLINE void attend_as(const AttentionArgs& a) {
  const size_t rows = a.tokens * a.heads;
  float* plane = a.scratch + rows * a.head_stride;
  const FloatQueries s{{a, rows, a.positions + a.tokens - 1}, a.scratch, plane};
  // A few queries take keys and values as they are; more are worth a copy in floats.
  if (a.tokens == 1 && rows <= 4) {
    attend<T, false>(s);
  } else {
    attend<T, true>(s);
  }
}

}  // namespace

namespace BITNET_FLOATS {

void store_key(const float* x, size_t n, size_t stride, KvType type, uint8_t* plane, size_t position) {
  switch (type) {
    case KvType::kF32: return store_key_as<KvType::kF32>(x, n, plane, position);
    case KvType::kF16: return store_key_as<KvType::kF16>(x, n, plane, position);
    case KvType::kInt8: return store_int8_key(x, n, stride, plane, position);
  }
}

void store_value(const float* x, size_t n, size_t stride, KvType type, uint8_t* plane, size_t position) {
  switch (type) {
    case KvType::kF32: return store_value_as<KvType::kF32>(x, n, stride, plane, position);
    case KvType::kF16: return store_value_as<KvType::kF16>(x, n, stride, plane, position);
    case KvType::kInt8: return store_int8_value(x, n, stride, plane, position);
  }
}

void attention(const AttentionArgs& a) {
  if (a.type == KvType::kF32) {
    attend_as<KvType::kF32>(a);
  } else {
    attend_as<KvType::kF16>(a);
  }
}

}  // namespace BITNET_FLOATS
}  // namespace bitnet
