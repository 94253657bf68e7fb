// Matrices that are multiplied with float activations, written once over V; blocks of small codes: dense_blocks.inl. Include
// from an instruction set's dense.cpp after its float_vector.h.
//
// Each storage type gives, for the 16 values at i of a row, codes as floats and the factor they share (1 for plain types):
// the accumulator takes fma(codes * factor...) in the form fma(code, x, .) for plain types and fma(code * x, factor, .)
// for block types.
#include "kernels/float_lanes.inl"

namespace bitnet {
namespace {

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

template <DenseType D>
void plain_row(const uint8_t* row, size_t n, V scale, float* out) {
  size_t i = 0;
  for (; i + 16 <= n; i += 16) V::store(out + i, V::mul(plain<D>(row, i), scale));
  if (i < n) V::store_partial(out + i, V::mul(plain_partial<D>(row, i, n - i), scale), n - i);
}

// R rows x T tokens; row(r) is the address of row r. Meanwhile what is `ahead` bytes behind the rows is fetched, where that is
// not 0: rows of plain types are longer than a page of memory, with whose end the CPU's own prefetching ends.
template <DenseType D, int R, int T, class Row>
BITNET_INLINE void dense_tile(Row&& row, size_t n, const float* x, size_t ldx, float* y, size_t ldy, size_t ahead = 0) {
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
    constexpr int kLine = D == DenseType::kF32 ? 1 : 2;  // vectors of a row in a cache line
    size_t i = 0;
    auto step = [&](size_t at) BITNET_INLINE_LAMBDA {
      V v[T];
      unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { v[t] = V::load(x + t * ldx + at); });
      unroll<R>([&](auto r) BITNET_INLINE_LAMBDA {
        const V c = plain<D>(row(r), at);
        unroll<T>([&](auto t) BITNET_INLINE_LAMBDA { a[r][t] = V::fma(c, v[t], a[r][t]); });
      });
    };
    for (; i + 16 * kLine <= n; i += 16 * kLine) {
      if (ahead) unroll<R>([&](auto r) BITNET_INLINE_LAMBDA { __builtin_prefetch(row(r) + i * 4 / kLine + ahead); });
      unroll<kLine>([&](auto k) BITNET_INLINE_LAMBDA { step(i + 16 * k); });
    }
    for (; i + 16 <= n; i += 16) step(i);
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
  constexpr int R = V::kDenseRows, kMost = V::kDenseTokens;
  size_t r = row_begin;
  for (; r + R <= row_end; r += R) {
    auto row = [&](int i) BITNET_INLINE_LAMBDA { return w + (r + static_cast<size_t>(i)) * row_bytes; };
    // Tiles of about equal width; the first reads the rows from memory.
    for (size_t t = 0; t < tokens;) {
      const size_t tiles = (tokens - t + kMost - 1) / kMost, width = (tokens - t + tiles - 1) / tiles;
      const size_t ahead = t == 0 && r + 2 * R <= row_end ? R * row_bytes : 0;
      unroll<kMost>([&](auto most) BITNET_INLINE_LAMBDA {
        constexpr int T = decltype(most)::value + 1;
        if (width == T) dense_tile<D, R, T>(row, n, x + t * ldx, ldx, y + t * ldy + r, ldy, ahead);
      });
      t += width;
    }
  }
  for (; r < row_end; r++) {
    auto row = [&](int) BITNET_INLINE_LAMBDA { return w + r * row_bytes; };
    for (size_t t = 0; t < tokens; t++) dense_tile<D, 1, 1>(row, n, x + t * ldx, ldx, y + t * ldy + r, ldy);
  }
}

// Some scattered rows at a time; the next ones are fetched meanwhile.
template <DenseType D>
BITNET_INLINE void dense_list_as(const uint8_t* w, size_t n, const int32_t* ids, size_t count, const float* x, float* y) {
  const size_t row_bytes = dense_row_bytes(D, n);
  constexpr int R = V::kDenseRows;
  size_t i = 0;
  for (; i + R <= count; i += R) {
    for (size_t k = i + R; k < i + 2 * R && k < count; k++) {
      const uint8_t* next = w + static_cast<size_t>(ids[k]) * row_bytes;
      for (size_t b = 0; b < row_bytes; b += 64) __builtin_prefetch(next + b);
    }
    auto row = [&](int r) BITNET_INLINE_LAMBDA { return w + static_cast<size_t>(ids[i + static_cast<size_t>(r)]) * row_bytes; };
    dense_tile<D, R, 1>(row, n, x, 0, y + i, 0);
  }
  for (; i < count; i++) {
    auto row = [&](int) BITNET_INLINE_LAMBDA { return w + static_cast<size_t>(ids[i]) * row_bytes; };
    dense_tile<D, 1, 1>(row, n, x, 0, y + i, 0);
  }
}

}  // namespace

namespace BITNET_FLOATS {

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
    switch (type) {
      case DenseType::kF32: return plain_row<DenseType::kF32>(row, n, s, out);
      case DenseType::kF16: return plain_row<DenseType::kF16>(row, n, s, out);
      default: return plain_row<DenseType::kBf16>(row, n, s, out);
    }
  }
}

}  // namespace BITNET_FLOATS
}  // namespace bitnet
