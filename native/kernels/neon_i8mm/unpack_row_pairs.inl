// Isa::unpack (row_gemm.inl) for usmmla: the four rows become two pairs of 2 * stride bytes, columns k .. k + 7 of the even
// row, then of the odd one. The packed bytes of a pair are zipped, then decoded (include it from inside an ISA file).
#include "kernels/neon_i8mm/byte_tile.h"

#include "kernels/row_layout.h"

namespace bitnet {
namespace {

// unpack(low, high, out): the codes of 16 packed bytes of a pair, columns 0..7 and 8..15 of each field; field f goes to
// out + 128 * f.
template <class Layout, class Unpack>
BITNET_INLINE void unpack_row_pairs(const uint8_t* row, size_t row_bytes, uint8_t* bytes, size_t stride, size_t blocks,
                                    Unpack&& unpack) {
  for (size_t pair = 0; pair < 2; pair++, row += 2 * row_bytes, bytes += 2 * stride) {
    for (size_t b = 0; b < blocks; b++) {
      const uint8_t *even = row + b * kBlockBytes, *odd = even + row_bytes;
      prefetch(even + 4 * row_bytes);
      prefetch(odd + 4 * row_bytes);
      unroll<4>([&](auto j) BITNET_INLINE_LAMBDA {
        const uint8x16_t v0 = vld1q_u8(even + 16 * j), v1 = vld1q_u8(odd + 16 * j);
        unpack(zip_low(v0, v1), zip_high(v0, v1), bytes + 2 * (b * Layout::kBlockColumns + 16 * j));
      });
    }
  }
}

}  // namespace
}  // namespace bitnet
