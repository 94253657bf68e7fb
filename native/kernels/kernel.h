// The contract of a ternary matrix kernel, and the registry of all kernels.
//
// A kernel multiplies a packed ternary matrix W[rows][columns] (codes c in {0, 1, 2} standing for c - 1) with int8
// activations and returns exact int32 sums. Every kernel must equal kernels/scalar/ bit for bit, for every shape, batch
// and row range. Adding one: one file with a `const TernaryKernel`, one line in registry.cpp; the native tests and the
// start-up self-test then cover it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/cpu.h"

namespace bitnet {

// Activation rows are zero-padded to a multiple of this: lcm(256, 320) serves 2-bit blocks of 256 weights and
// 1.6-bit blocks of 320.
constexpr size_t kActivationPad = 1280;

// Row ranges given to a kernel start at multiples of this, and outputs have room for rows rounded up to it.
constexpr size_t kRowTile = 16;

// Columns above this could overflow an int32 sum whose field carries the factor 64: 64 * 2 * 128 * K / 4 < 2^31.
constexpr size_t kMaxColumns = 262144;

constexpr size_t round_up(size_t value, size_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// Quantised activations of `count` tokens.
struct Activations {
  const int8_t* values;  // [count][stride]; 64-byte aligned rows, zeros from `columns` to `stride`
  size_t stride;         // a multiple of kActivationPad
  const int32_t* sums;   // [count] sum of a row's values
  size_t count;
  const void* tables;    // [count] lookup tables of table_bytes each, where the kernel asks for them; else null
};

constexpr size_t kDefaultPrefetch = 2048;

// A matrix in one kernel's layout.
struct PackedMatrix {
  const uint8_t* data;  // 64-byte aligned
  size_t rows;
  size_t columns;
  // How many bytes ahead a streaming kernel prefetches, in each of its streams. The best distance is a property of the
  // machine (one stream: 1-2 KiB on one CPU, 8 KiB on another, 40 % apart), so the tuner measures it.
  size_t prefetch = kDefaultPrefetch;
  // What the calling thread will multiply after the rows given to gemm, for it to be fetched in time; null: the rows behind.
  const uint8_t* after = nullptr;
};

struct TernaryKernel {
  const char* name;         // "<isa>-<family>", what users write after --kernel
  const char* family;       // "i2s", "tl1", ...
  const char* isa;          // "scalar", "avx2", ...
  const char* description;  // one sentence
  CpuFeatures required;     // features without which it must not run

  // Bytes of the packed matrix; a multiple of 64.
  size_t (*packed_bytes)(size_t rows, size_t columns);

  // Packs `count` rows starting at row_begin (a multiple of kRowTile; count too, unless it ends at `rows`) from codes
  // [count][columns], one byte each. Calls for different ranges may run in parallel.
  void (*pack)(const uint8_t* codes, size_t row_begin, size_t count, size_t rows, size_t columns, uint8_t* packed);

  // Bytes of scratch that gemm needs per thread.
  size_t (*scratch_bytes)(size_t columns);

  // Y[t * ldy + r] = sum over k of (code[r][k] - 1) * x[t][k], rows row_begin (a multiple of kRowTile) to row_end.
  // Rows up to round_up(row_end, kRowTile) may be overwritten with unspecified values where row_end = rows.
  void (*gemm)(const PackedMatrix& w, const Activations& x, int32_t* y, size_t ldy, size_t row_begin, size_t row_end,
               void* scratch);

  // Families that look up: bytes of a token's table, and its construction. Null for multiply-add families.
  size_t (*table_bytes)(size_t columns);
  void (*build_table)(const int8_t* values, size_t columns, void* table);

  // Whether codes 0..3 are exact, not only the ternary 0..2: what the first plane of a sketch of the head needs.
  bool four_levels = false;

  // y[i] = row rows[i] of W times the one token of x, for a list of rows in rising order: what activation sparsity needs.
  // y has room for count rounded up to 4. Null where the family has none.
  void (*gemv_rows)(const PackedMatrix& w, const Activations& x, const int32_t* rows, size_t count, int32_t* y) = nullptr;

  // Rows that gemm likes to be given at a time for a long batch: what it unpacks once and keeps in L2.
  size_t batch_rows = 64;

  // The share of (row, token) pairs wanted of a batch up to which gemv_rows, token by token, is faster than gemm for all of
  // them; measured on rows that lie in L2.
  double sparse_batch_share = 0.3;
};

// All kernels compiled into this binary, best first within a family.
const std::vector<const TernaryKernel*>& all_kernels();

// The kernel for a user's choice: "" or "auto" (best available), a kernel name, or a level ("scalar", "avx2", "avx-vnni",
// "avx512", "amx", "neon", "neon-dotprod", "neon-i8mm"). Throws Error(kKernel) that lists what there is.
const TernaryKernel& select_kernel(const std::string& choice);

// Throws Error(kKernelError) where this CPU lacks what the kernel needs.
void require_features(const char* kernel, CpuFeatures required);

// The I2_S kernel of the same instruction set as `kernel` that is exact for codes 0..3; null where there is none.
const TernaryKernel* four_level_kernel(const TernaryKernel& kernel);

// The kernel with the same float operations as `kernel` that multiplies lists of rows in the fewest bytes; null where none
// does.
const TernaryKernel* list_kernel(const TernaryKernel& kernel);

// Compares a kernel with the scalar reference on random and worst-case inputs of a few awkward shapes. Returns "" or the
// first difference.
std::string self_test(const TernaryKernel& kernel);

}  // namespace bitnet
