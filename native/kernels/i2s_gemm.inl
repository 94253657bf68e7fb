// The blocking of an I2_S product, written once and instantiated per instruction set (include it from inside an ISA file).
//
// Isa provides, all over the g4 layout:
//   kTokens                         most tokens of a register tile
//   gemv(w, x, sum, y, r0, r1)      one token, whole groups of four rows
//   tile_packed<T>(...)             T tokens x 4 rows, codes decoded in the loop (small batches)
//   unpack(group, bytes, stride, blocks)         four rows' blocks to one byte a code, natural order
//   tile_bytes<T>(...)              T tokens x 4 rows on unpacked bytes
//
// Small batches decode in the loop: each code is used at most 2 * kTokens times, too few to pay for a pass through
// memory. Larger ones unpack kPanelRows x kPanelColumns codes once into L2 (160 KiB) and run every token tile over them;
// partial sums over column panels are added in y.
#include "kernels/i2s_layout.h"
#include "kernels/inline.h"

namespace bitnet {
namespace {

constexpr size_t kPanelRows = 64;
constexpr size_t kPanelColumns = 2560;
constexpr size_t kPanelStride = kPanelColumns + 64;  // one line off a power of two, so that rows don't share cache sets

BITNET_INLINE size_t min_size(size_t a, size_t b) { return a < b ? a : b; }

template <class Isa, int T>
BITNET_INLINE void packed_tile(const PackedMatrix& w, const Activations& x, size_t t, int32_t* y, size_t ldy, size_t row) {
  Isa::template tile_packed<T>(w.data + row / 4 * i2s::group_bytes(w.columns), i2s::blocks(w.columns),
                               x.values + t * x.stride, x.stride, x.sums + t, y + t * ldy + row, ldy, w.prefetch);
}

template <class Isa, int T>
BITNET_INLINE void byte_tiles(const uint8_t* panel, size_t rows, size_t columns, const int8_t* q, size_t stride,
                              const int32_t* sums, int32_t* y, size_t ldy, bool first) {
  for (size_t r = 0; r < rows; r += 4) {
    Isa::template tile_bytes<T>(panel + r * kPanelStride, kPanelStride, columns, q, stride, sums, y + r, ldy, first);
  }
}

// Calls f(integral_constant<T>) with the number of tokens of the next tile: full tiles, and a last one cut so that two
// small tiles never follow one another (7 = 4 + 3 rather than 6 + 1).
template <int Max, class F>
BITNET_INLINE size_t next_tile(size_t left, F&& f) {
  size_t t = left >= Max ? Max : left;
  if (left > Max && left < 2 * Max && left - Max < Max / 2) t = (left + 1) / 2;
  switch (t) {
    case 1: f(std::integral_constant<int, 1>{}); break;
    case 2: f(std::integral_constant<int, 2>{}); break;
    case 3: f(std::integral_constant<int, 3>{}); break;
    case 4: f(std::integral_constant<int, 4>{}); break;
    case 5: if constexpr (Max >= 5) f(std::integral_constant<int, 5>{}); break;
    default: if constexpr (Max >= 6) f(std::integral_constant<int, 6>{}); break;
  }
  return t;
}

template <class Isa>
void i2s_gemm(const PackedMatrix& w, const Activations& x, int32_t* y, size_t ldy, size_t row_begin, size_t row_end,
              void* scratch) {
  row_end = round_up(row_end, kRowTile);
  if (x.count == 1) {
    Isa::gemv(w, x.values, x.sums[0], y, row_begin, row_end);
    return;
  }
  if (x.count <= 2 * Isa::kTokens) {
    for (size_t row = row_begin; row < row_end; row += 4) {
      for (size_t t = 0; t < x.count;) {
        t += next_tile<Isa::kTokens>(x.count - t, [&](auto tokens) BITNET_INLINE_LAMBDA {
          packed_tile<Isa, decltype(tokens)::value>(w, x, t, y, ldy, row);
        });
      }
    }
    return;
  }
  auto* panel = static_cast<uint8_t*>(scratch);
  const size_t padded = i2s::blocks(w.columns) * i2s::kBlockColumns;
  for (size_t row = row_begin; row < row_end; row += kPanelRows) {
    const size_t rows = min_size(kPanelRows, row_end - row);
    for (size_t k = 0; k < padded; k += kPanelColumns) {
      const size_t columns = min_size(kPanelColumns, padded - k);
      for (size_t r = 0; r < rows; r += 4) {
        Isa::unpack(w.data + (row + r) / 4 * i2s::group_bytes(w.columns) + k / i2s::kBlockColumns * 256,
                    panel + r * kPanelStride, kPanelStride, columns / i2s::kBlockColumns, w.prefetch);
      }
      for (size_t t = 0; t < x.count;) {
        t += next_tile<Isa::kTokens>(x.count - t, [&](auto tokens) BITNET_INLINE_LAMBDA {
          byte_tiles<Isa, decltype(tokens)::value>(panel, rows, columns, x.values + t * x.stride + k, x.stride,
                                                   x.sums + t, y + t * ldy + row, ldy, k == 0);
        });
      }
    }
  }
}

inline size_t i2s_scratch_bytes(size_t) { return kPanelRows * kPanelStride; }

}  // namespace
}  // namespace bitnet
