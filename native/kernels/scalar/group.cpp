// scalar-group: the specification of the product of group-scaled weights.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/group_layout.h"

namespace bitnet {
namespace {

void gemm(const GroupedMatrix& w, const Activations& x, const float* scales, float* y, size_t ldy, size_t row_begin,
          size_t row_end, void*) {
  const GroupShape& s = w.shape;
  const auto bits = static_cast<size_t>(grouped::stored_bits(s.bits));
  const size_t line_columns = 32 / bits, lines = s.group / line_columns;
  const int32_t mask = (1 << bits) - 1;
  for (size_t t = 0; t < x.count; t++) {
    const int8_t* q = x.values + t * x.stride;
    for (size_t row = row_begin; row < row_end; row++) {
      const size_t r = row % grouped::kTileRows;
      const uint8_t* tile = w.data + row / grouped::kTileRows * grouped::tile_bytes(s);
      float acc = 0;
      for (size_t g = 0; g < s.groups(); g++) {
        const uint8_t* header = tile + g * (grouped::header_bytes(s) + lines * grouped::kLine);
        float scale;
        std::memcpy(&scale, header + 4 * r, 4);
        int32_t zero = s.zero;
        if (s.zero_points) std::memcpy(&zero, header + grouped::kLine + 4 * r, 4);
        const uint8_t* codes = header + grouped::header_bytes(s);
        int32_t sum = 0;
        const size_t begin = g * s.group, end = std::min(begin + s.group, s.columns);
        for (size_t k = begin; k < end; k++) {
          const size_t line = (k - begin) / line_columns, i = (k - begin) % line_columns;
          const int32_t code = codes[line * grouped::kLine + 4 * r + i % 4] >> (bits * (i / 4)) & mask;
          sum += (code - zero) * q[k];
        }
        acc = std::fma(static_cast<float>(sum), scale, acc);
      }
      y[t * ldy + row] = acc * scales[t];
    }
  }
}

size_t no_scratch(const GroupShape&) { return 0; }

}  // namespace

extern const GroupKernel kScalarGroup = {
    "scalar-group", "group", "scalar",
    "Plain C++ over codes with a scale per group: the reference that all others must equal bit for bit.",
    0, grouped::supports, grouped::packed_bytes, grouped::pack, no_scratch, gemm, nullptr, nullptr,
};

}  // namespace bitnet
