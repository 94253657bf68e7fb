// Products that skip zero inputs: y = W x where most of x is 0, reading only the columns of W that meet a non-zero.
//
// What a squared-ReLU network's down projection needs (see engine/forward.cpp): 85 to 95 % of its int8 inputs are zero,
// and zeros add nothing to an integer sum, so the result is the dense one bit for bit. The matrix is stored by input:
// column k is ceil(rows / 256) blocks of 64 bytes, byte j bits 2f and 2f+1 of block b = weight of row 256b + 64f + j,
// code = w + 1. Rows are padded to 256.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/cpu.h"
#include "kernels/kernel.h"

namespace bitnet {

constexpr size_t kColumnBlockRows = 256;

struct ColumnKernel {
  const char* name;
  const char* isa;
  CpuFeatures required;

  // Indices of the non-zero values, rising; ids has room for n.
  size_t (*nonzero)(const int8_t* values, size_t n, int32_t* ids);

  // y[r] = sum over the `count` listed columns k of (code[r][k] - 1) * values[k], for the rows of blocks
  // block_begin..block_end of 256 rows; y has room for whole blocks.
  void (*gemv)(const uint8_t* packed, size_t rows, const int8_t* values, const int32_t* ids, size_t count, int32_t* y,
               size_t block_begin, size_t block_end);
};

namespace columns {
size_t packed_bytes(size_t rows, size_t columns);
// Packs rows row_begin.. (a multiple of 256; count too, unless it ends at `rows`) from codes [count][columns].
void pack(const uint8_t* codes, size_t row_begin, size_t count, size_t rows, size_t columns, uint8_t* packed);
}  // namespace columns

extern const ColumnKernel kScalarColumns;
extern const ColumnKernel kAvx2Columns;
extern const ColumnKernel kAvx512Columns;

// The one for a kernel's instruction set; null where there is none faster than the dense product.
const ColumnKernel* column_kernel_for(const TernaryKernel& kernel);

// Compares with sums taken from the codes. Returns "" or the first difference.
std::string compare_columns(const ColumnKernel& kernel, size_t rows, size_t columns, unsigned nonzero_percent, int extreme);

}  // namespace bitnet
