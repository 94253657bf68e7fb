// A kernel together with the kind of weights it multiplies, so that what times products need not know which kind it is:
// ternary ones with int32 sums, or codes with a scale per group and float results.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/group_kernel.h"
#include "kernels/kernel.h"

namespace bitnet {

struct WeightKind {
  size_t group = 0;  // columns per scale; 0: ternary
  int bits = 2;      // of group-scaled codes; 1 stands for -1 and +1
  bool zero_points = false;

  bool ternary() const { return group == 0; }
  bool operator==(const WeightKind& other) const {
    return group == other.group && bits == other.bits && zero_points == other.zero_points;
  }
  GroupShape shape(size_t rows, size_t columns) const;
};

// Random weights for matrices of up to `columns` columns. A matrix repeats the slab's rows: packing reads as much as for a
// real one, and what must come out can be told from a few rows.
class CodeSlab {
 public:
  static constexpr size_t kRows = 128;
  CodeSlab(const WeightKind& kind, size_t columns);
  const uint8_t* codes() const { return codes_.data(); }
  const float* scales() const { return scales_.data(); }
  const uint8_t* zeros() const { return zeros_.data(); }
  size_t columns() const { return columns_; }
  const WeightKind& kind() const { return kind_; }
  // What a matrix of these rows must give for a token: row `row` of the product, as the 4 bytes of an int32 or a float.
  uint32_t expected(size_t row, const int8_t* q, float token_scale) const;

 private:
  WeightKind kind_;
  size_t columns_;
  std::vector<uint8_t> codes_, zeros_;
  std::vector<float> scales_;
};

class MatrixKernel {
 public:
  explicit MatrixKernel(const TernaryKernel& kernel) : ternary_(&kernel) {}
  MatrixKernel(const GroupKernel& kernel, const WeightKind& kind) : group_(&kernel), kind_(kind) {}
  // By name, for weights of a kind. Throws Error(kKernelError) where there is none, the CPU lacks what it needs, or it
  // cannot multiply such weights.
  static MatrixKernel find(const std::string& name, const WeightKind& kind, size_t columns);

  const char* name() const { return ternary_ ? ternary_->name : group_->name; }
  const TernaryKernel* ternary() const { return ternary_; }
  const GroupKernel* group() const { return group_; }
  const WeightKind& kind() const { return kind_; }
  size_t packed_bytes(size_t rows, size_t columns) const;
  size_t scratch_bytes(size_t columns) const;
  size_t batch_rows() const { return ternary_ ? ternary_->batch_rows : 64; }
  // 0 for families that don't look up.
  size_t table_bytes(size_t columns) const;
  void build_table(const int8_t* values, size_t columns, void* table) const;
  // Packs rows row .. row + count - 1 of a matrix, row a multiple of CodeSlab::kRows.
  void pack(const CodeSlab& slab, size_t row, size_t count, size_t rows, uint8_t* packed) const;
  // y: 4 bytes a value, int32 or float; scales: the tokens'.
  void gemm(const PackedMatrix& w, const Activations& x, const float* scales, void* y, size_t ldy, size_t row_begin,
            size_t row_end, void* scratch) const;

 private:
  const TernaryKernel* ternary_ = nullptr;
  const GroupKernel* group_ = nullptr;
  WeightKind kind_;
};

}  // namespace bitnet
