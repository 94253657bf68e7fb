// The contract of kernels for group-scaled weights: w[r][k] = (step * code[r][k] - zero) * scale[r][group of k].
//
// Unlike a ternary product (kernel.h) this one is a float, so its order is part of the contract. For every row and token,
// with int8 activations q and their scale s:
//
//   acc = 0
//   for each group g in rising order:
//     sum_g = sum over k in g of (step * code[k] - zero_g) * q[k]        exact, int32
//     acc = fma(float(sum_g), scale_g, acc)
//   y = acc * s
//
// kernels/scalar/group.cpp is the specification; every other kernel gives the same bits, for every shape and batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/kernel.h"

namespace bitnet {

// Groups are multiples of this many columns; the last one may be cut short by the matrix's end.
constexpr size_t kGroupStep = 16;

// Columns of a row in one group at most, so that a group's sum fits an int32: 65536 * 255 * 128 < 2^31.
constexpr size_t kMaxGroupColumns = 65536;

// What a group-scaled matrix is like.
struct GroupShape {
  size_t rows = 0, columns = 0;
  size_t group = 0;          // columns per scale, a multiple of kGroupStep
  int bits = 0;              // 1, 2, 3, 4 or 8: codes lie below 2^bits
  int step = 1;              // 1; 2 with one bit a weight, whose codes 0 and 1 stand for -1 and +1 (zero 1)
  int zero = 0;              // of all groups, unless zero_points
  bool zero_points = false;  // each group has a zero of its own

  size_t groups() const { return (columns + group - 1) / group; }
};

struct GroupedMatrix {
  GroupShape shape;
  const uint8_t* data;  // 64-byte aligned
  size_t prefetch;      // bytes ahead, as in PackedMatrix
};

struct GroupKernel {
  const char* name;         // "<isa>-<family>"
  const char* family;       // "group" (multiply-add), "tmac-group" (look-ups)
  const char* isa;
  const char* description;  // one sentence
  CpuFeatures required;

  bool (*supports)(const GroupShape& shape);
  size_t (*packed_bytes)(const GroupShape& shape);

  // Packs `count` rows from row_begin (multiples of kRowTile, unless they end at `rows`): codes [count][columns], scales
  // and, with zero_points, zeros [count][groups].
  void (*pack)(const GroupShape& shape, const uint8_t* codes, const float* scales, const uint8_t* zeros, size_t row_begin,
               size_t count, uint8_t* packed);

  // Bytes of scratch that gemm needs per thread.
  size_t (*scratch_bytes)(const GroupShape& shape);

  // y[t * ldy + r] for rows row_begin (a multiple of kRowTile) to row_end; `scales` are the activations', one per token.
  // Rows up to round_up(row_end, kRowTile) may be overwritten with unspecified values.
  void (*gemm)(const GroupedMatrix& w, const Activations& x, const float* scales, float* y, size_t ldy, size_t row_begin,
               size_t row_end, void* scratch);

  // Families that look up: bytes of a token's table, and its construction. Null for multiply-add families.
  size_t (*table_bytes)(size_t columns);
  void (*build_table)(const int8_t* values, size_t columns, void* table);
};

extern const GroupKernel kScalarGroup;
extern const GroupKernel kAvx2Group;
extern const GroupKernel kAvxVnniGroup;
extern const GroupKernel kAvx512VnniGroup;
extern const GroupKernel kNeonGroup;
extern const GroupKernel kNeonDotprodGroup;
extern const GroupKernel kScalarTmacGroup;
extern const GroupKernel kAvx2TmacGroup;
extern const GroupKernel kAvx512VbmiTmacGroup;
extern const GroupKernel kNeonTmacGroup;

// All kernels compiled into this binary, best first.
const std::vector<const GroupKernel*>& all_group_kernels();

// What runs a model: a kernel for its ternary matrices, and of which family and instruction sets those for group-scaled ones
// are.
struct KernelSelection {
  const TernaryKernel* ternary;
  const char* group_family;
  const char* group_isa;  // this one or what its level covers
};

// For a user's choice, as select_kernel; a group kernel's name too, which takes the default ternary kernel of its
// instruction set. A ternary kernel takes the group kernels of its kind: T-MAC's look-ups with T-MAC, else multiply-add.
// Throws Error(kKernelError) that lists what there is.
KernelSelection select_kernels(const std::string& choice);

// The group kernel of this name; null: there is none.
const GroupKernel* find_group_kernel(const std::string& name);

// The best one of the selection's instruction sets that can multiply such a matrix: of its family, else multiply-add.
const GroupKernel& group_kernel_for(const KernelSelection& selection, const GroupShape& shape);

// Compares with the scalar kernel on awkward shapes. Returns "" or the first difference.
std::string self_test(const GroupKernel& kernel);

struct GroupCase {
  GroupShape shape;
  size_t tokens;
  bool extreme;  // largest codes and activations instead of random ones
};
std::string compare_with_scalar(const GroupKernel& kernel, const GroupCase& c);

}  // namespace bitnet
