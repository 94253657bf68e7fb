// Matrices stored by input: products that skip zero inputs, y = W x where most of x is 0, reading only the columns of W that
// meet a non-zero; and products of several tokens from the same bytes.
//
// What a squared-ReLU network's down projection needs (see engine/forward.cpp): 85 to 95 % of its int8 inputs are zero,
// and zeros add nothing to an integer sum, so the result is the dense one bit for bit.
//
// The layout: column k is ceil(rows / block_rows) blocks of 64 bytes. A byte holds the codes w + 1 of one row of each field,
// 64 rows apart: four fields of two bits (byte = sum of code << 2f; blocks of 256 rows), or five as in t5_layout.h (blocks of
// 320 rows). Rows are in an order in which 4 columns' blocks, interleaved byte by byte within 16-byte lanes, give 16
// neighbouring rows a register of 64 bytes: see columns::row_of_byte. Rows are padded to whole blocks with code 0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/cpu.h"
#include "kernels/kernel.h"

namespace bitnet {

// Rows of one field: what a range of rows given to gemm starts at a multiple of.
constexpr size_t kColumnFieldRows = 64;

// Sums of a field that stays in place carry a factor of 64: 64 * 2 * 128 * columns < 2^31.
constexpr size_t kMostColumnInputs = 65536;

// The number of an input.
using ColumnId = uint16_t;

// Columns of a matrix in rising order; ids null: all.
struct ColumnList {
  const ColumnId* ids;
  size_t count;
};

// Most tokens that gemm_live takes.
constexpr size_t kMostLiveTokens = 32;

// The inputs of each token that are not 0, in rising order.
struct LiveInputs {
  const ColumnId* ids;   // token t's from ids + t * stride on
  size_t stride;
  const size_t* counts;  // [tokens]
};

struct ColumnKernel {
  const char* name;
  const char* isa;
  CpuFeatures required;
  size_t fields;  // 4 or 5

  // Indices of the non-zero values, rising; ids has room for n.
  size_t (*nonzero)(const int8_t* values, size_t n, ColumnId* ids);

  // TernaryKernel::gemm for the rows of blocks block_begin..block_end, reading of each token its live inputs only, which are
  // all that are not 0; y has room for whole blocks.
  void (*gemm_live)(const PackedMatrix& w, const LiveInputs& live, const Activations& x, int32_t* y, size_t ldy,
                    size_t block_begin, size_t block_end);

  // TernaryKernel::gemm over the inputs of `list`, which x holds side by side, its rows zero-padded as ever; row_begin is a
  // multiple of kColumnFieldRows, and rows up to the next one behind row_end are overwritten with unspecified values. Whole
  // blocks are unpacked once, parts of them once each.
  void (*gemm)(const PackedMatrix& w, const ColumnList& list, const Activations& x, int32_t* y, size_t ldy, size_t row_begin,
               size_t row_end, void* scratch);
  // Bytes of scratch that gemm needs per thread for this many rows.
  size_t (*scratch_bytes)(size_t rows);

  // What gemm takes for an input, in units of what gemm_live takes for a live one of one token. Measured.
  double (*gemm_cost)(size_t tokens);

  size_t block_rows() const { return fields * kColumnFieldRows; }
  size_t blocks(size_t rows) const { return (rows + block_rows() - 1) / block_rows(); }
  size_t packed_bytes(size_t rows, size_t columns) const { return blocks(rows) * 64 * columns; }
  // Packs rows row_begin.. (a multiple of block_rows(); count too, unless it ends at `rows`) from codes [count][columns].
  void pack(const uint8_t* codes, size_t row_begin, size_t count, size_t rows, size_t columns, uint8_t* packed) const;
};

namespace columns {
// Which row of a field stands in byte j of a block: unpacked, dword d of 16-byte lane l of register q has byte 16l + 4q + d.
constexpr size_t row_of_byte(size_t j) { return j % 16 / 4 * 16 + j / 16 * 4 + j % 4; }
}  // namespace columns

extern const ColumnKernel kScalarColumns;
extern const ColumnKernel kAvx2Columns;
extern const ColumnKernel kAvxVnniColumns;
extern const ColumnKernel kAvx512Columns;
extern const ColumnKernel kAmxColumns;

// The one for a kernel's instruction set; null where there is none faster than the dense product.
const ColumnKernel* column_kernel_for(const TernaryKernel& kernel);

// Compares gemm_live with sums taken from the codes. Returns "" or the first difference.
std::string compare_columns(const ColumnKernel& kernel, size_t rows, size_t columns, size_t tokens, unsigned nonzero_percent,
                            int extreme);
// The same for gemm.
std::string compare_column_batch(const ColumnKernel& kernel, size_t rows, size_t columns, size_t tokens, int extreme);
// Both for a few awkward shapes, before a model is served.
std::string self_test(const ColumnKernel& kernel);

}  // namespace bitnet
