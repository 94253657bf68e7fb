// scalar-tmac-group: bit planes of fours for group-scaled weights, in plain C++. Bit p of the codes of four weights is an
// index into the four's table of 16 sums, and counts 2^p times. Layout: tmac_group_layout.h with Layout::kRows.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/scalar/tmac_table.h"
#include "kernels/tmac_group_layout.h"

namespace bitnet {
namespace {

void gemm(const GroupedMatrix& w, const Activations& x, const float* scales, float* y, size_t ldy, size_t row_begin,
          size_t row_end, void*) {
  const GroupShape& s = w.shape;
  const auto planes = static_cast<size_t>(s.bits);
  const size_t blocks = lut_blocks<Fours>(s.columns), of_group = tmac_group::group_blocks(s);
  for (size_t t = 0; t < x.count; t++) {
    const LutTable table = lut_table<Fours, 1>(x.tables, tmac::table_bytes(s.columns), t, blocks, 0, blocks);
    const int8_t* q = x.values + t * x.stride;
    for (size_t row = row_begin; row < row_end; row++) {
      const uint8_t* p = w.data + row / grouped::kTileRows * tmac_group::tile_bytes(s);
      const size_t r = row % grouped::kTileRows;
      float acc = 0;
      for (size_t g = 0; g < s.groups(); g++) {
        float scale;
        std::memcpy(&scale, p + 4 * r, 4);
        int32_t zero = s.zero, sum = 0;
        if (s.zero_points) std::memcpy(&zero, p + grouped::kLine + 4 * r, 4);
        p += grouped::header_bytes(s);
        for (size_t b = g * of_group; b < std::min(blocks, (g + 1) * of_group); b++) {
          for (size_t plane = 0; plane < planes; plane++, p += 32) {
            for (size_t i = 0; i < Fours::kGroups; i++) {
              const uint8_t byte = p[16 * (i % 2) + r];
              sum += lut_entry(table, b * Fours::kGroups + i, byte >> (i / 2 * 4) & 15) * (1 << plane);
            }
          }
        }
        for (size_t b = g * of_group; b < std::min(blocks, (g + 1) * of_group); b++) {
          sum += ((1 << planes) - 1) * lut_sums(table, blocks)[b].halves;
        }
        sum *= s.step;
        for (size_t k = g * s.group; k < std::min(s.columns, (g + 1) * s.group); k++) sum -= zero * q[k];
        acc = std::fma(static_cast<float>(sum), scale, acc);
      }
      y[t * ldy + row] = acc * scales[t];
    }
  }
}

size_t no_scratch(const GroupShape&) { return 0; }

void build_table(const int8_t* values, size_t columns, void* table) {
  lut_build_table<Fours, LutTableScalar>(values, columns, table);
}

}  // namespace

extern const GroupKernel kScalarTmacGroup = {
    "scalar-tmac-group", "tmac-group", "scalar",
    "Codes of 1 to 4 bits with a scale per group, looked up as bit planes in plain C++.",
    0, tmac_group::supports, tmac_group::packed_bytes, tmac_group::pack_rows, no_scratch, gemm, tmac::table_bytes,
    build_table,
};

}  // namespace bitnet
