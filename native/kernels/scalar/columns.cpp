// scalar-columns: the specification of products with a matrix stored by input.
#include "kernels/column_kernel.h"

namespace bitnet {
namespace {

constexpr size_t kFields = 4, kBlockRows = kFields * kColumnFieldRows;

// Code of row r in column k.
int32_t code(const uint8_t* packed, size_t rows, size_t r, size_t k) {
  const size_t blocks = (rows + kBlockRows - 1) / kBlockRows, in_block = r % kBlockRows;
  // columns::row_of_byte, the other way round.
  const size_t row = in_block % kColumnFieldRows, byte = row / 4 % 4 * 16 + row / 16 * 4 + row % 4;
  return packed[(k * blocks + r / kBlockRows) * 64 + byte] >> (2 * (in_block / kColumnFieldRows)) & 3;
}

size_t nonzero(const int8_t* values, size_t n, ColumnId* ids) {
  size_t count = 0;
  for (size_t i = 0; i < n; i++) {
    if (values[i]) ids[count++] = static_cast<ColumnId>(i);
  }
  return count;
}

void gemm_live(const PackedMatrix& w, const LiveInputs& live, const Activations& x, int32_t* y, size_t ldy, size_t block_begin,
               size_t block_end) {
  for (size_t t = 0; t < x.count; t++) {
    for (size_t r = block_begin * kBlockRows; r < block_end * kBlockRows; r++) {
      int32_t sum = 0;
      for (size_t i = 0; i < live.counts[t]; i++) {
        const size_t k = live.ids[t * live.stride + i];
        sum += (code(w.data, w.rows, r, k) - 1) * x.values[t * x.stride + k];
      }
      y[t * ldy + r] = sum;
    }
  }
}

void gemm(const PackedMatrix& w, const ColumnList& list, const Activations& x, int32_t* y, size_t ldy, size_t row_begin,
          size_t row_end, void*) {
  for (size_t t = 0; t < x.count; t++) {
    for (size_t r = row_begin; r < row_end; r++) {
      int32_t sum = 0;
      for (size_t i = 0; i < list.count; i++) {
        const size_t k = list.ids ? list.ids[i] : i;
        sum += (code(w.data, w.rows, r, k) - 1) * x.values[t * x.stride + i];
      }
      y[t * ldy + r] = sum;
    }
  }
}

size_t scratch_bytes(size_t) { return 64; }

double gemm_cost(size_t tokens) { return static_cast<double>(tokens); }

}  // namespace

extern const ColumnKernel kScalarColumns = {"scalar-columns", "scalar", 0, kFields, nonzero, gemm_live, gemm, scratch_bytes, gemm_cost};

}  // namespace bitnet
