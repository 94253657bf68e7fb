// scalar-columns: the specification of the product that skips zero inputs.
#include "kernels/column_kernel.h"

namespace bitnet {
namespace {

size_t nonzero(const int8_t* values, size_t n, int32_t* ids) {
  size_t count = 0;
  for (size_t i = 0; i < n; i++) {
    if (values[i]) ids[count++] = static_cast<int32_t>(i);
  }
  return count;
}

void gemv(const uint8_t* packed, size_t rows, const int8_t* values, const int32_t* ids, size_t count, int32_t* y,
          size_t block_begin, size_t block_end) {
  const size_t blocks = round_up(rows, kColumnBlockRows) / kColumnBlockRows;
  for (size_t r = block_begin * kColumnBlockRows; r < block_end * kColumnBlockRows; r++) {
    const size_t in_block = r % kColumnBlockRows;
    int32_t sum = 0;
    for (size_t i = 0; i < count; i++) {
      const auto k = static_cast<size_t>(ids[i]);
      const uint8_t byte = packed[(k * blocks + r / kColumnBlockRows) * 64 + in_block % 64];
      sum += ((byte >> (2 * (in_block / 64)) & 3) - 1) * values[k];
    }
    y[r] = sum;
  }
}

}  // namespace

extern const ColumnKernel kScalarColumns = {"scalar-columns", "scalar", 0, nonzero, gemv};

}  // namespace bitnet
