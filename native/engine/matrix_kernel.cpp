#include "engine/matrix_kernel.h"

#include <cmath>
#include <cstring>

#include "engine/seeded_random.h"
#include "error.h"

namespace bitnet {

GroupShape WeightKind::shape(size_t rows, size_t columns) const {
  return {rows, columns, group, bits, bits == 1 ? 2 : 1, bits <= 2 ? 1 : 1 << (bits - 1), zero_points};
}

CodeSlab::CodeSlab(const WeightKind& kind, size_t columns) : kind_(kind), columns_(columns), codes_(kRows * columns) {
  uint64_t state = columns;
  const unsigned levels = kind.ternary() ? 3 : 1u << kind.bits;
  for (size_t i = 0; i < codes_.size();) {
    uint64_t bits = next_random(state);
    for (int k = 0; k < 8 && i < codes_.size(); k++, bits >>= 8) codes_[i++] = static_cast<uint8_t>((bits & 255) % levels);
  }
  if (kind.ternary()) return;
  const size_t groups = kind.shape(kRows, columns).groups();
  scales_.resize(kRows * groups);
  for (auto& scale : scales_) scale = static_cast<float>(1 + next_random(state) % 1024) * 0x1p-12f;
  if (kind.zero_points) zeros_.resize(kRows * groups);
  for (auto& zero : zeros_) zero = static_cast<uint8_t>(next_random(state) % levels);
}

uint32_t CodeSlab::expected(size_t row, const int8_t* q, float token_scale) const {
  const uint8_t* codes = codes_.data() + row % kRows * columns_;
  uint32_t bits;
  if (kind_.ternary()) {
    int32_t sum = 0;
    for (size_t k = 0; k < columns_; k++) sum += (codes[k] - 1) * q[k];
    std::memcpy(&bits, &sum, 4);
    return bits;
  }
  const GroupShape shape = kind_.shape(kRows, columns_);
  float acc = 0;
  for (size_t g = 0; g < shape.groups(); g++) {
    const size_t at = row % kRows * shape.groups() + g;
    const int32_t zero = kind_.zero_points ? zeros_[at] : shape.zero;
    int32_t sum = 0;
    for (size_t k = g * shape.group; k < columns_ && k < (g + 1) * shape.group; k++) {
      sum += (shape.step * codes[k] - zero) * q[k];
    }
    acc = std::fma(static_cast<float>(sum), scales_[at], acc);
  }
  acc *= token_scale;
  std::memcpy(&bits, &acc, 4);
  return bits;
}

MatrixKernel MatrixKernel::find(const std::string& name, const WeightKind& kind, size_t columns) {
  const GroupKernel* group = find_group_kernel(name);
  if (kind.ternary()) {
    if (group) throw Error(kKernelError, "Kernel \"" + name + "\" multiplies weights with a scale per group, not ternary ones.");
    return MatrixKernel(select_kernel(name));
  }
  if (!group) {
    select_kernel(name);  // throws for a name that is no kernel's
    throw Error(kKernelError, "Kernel \"" + name + "\" multiplies ternary weights, not ones with a scale per group.");
  }
  require_features(group->name, group->required);
  if (!group->supports(kind.shape(kRowTile, columns))) {
    throw Error(kKernelError, "Kernel \"" + name + "\" cannot multiply codes of " + std::to_string(kind.bits) +
                                  " bits with a scale per " + std::to_string(kind.group) + " columns.");
  }
  return MatrixKernel(*group, kind);
}

size_t MatrixKernel::packed_bytes(size_t rows, size_t columns) const {
  return ternary_ ? ternary_->packed_bytes(rows, columns) : group_->packed_bytes(kind_.shape(rows, columns));
}

size_t MatrixKernel::scratch_bytes(size_t columns) const {
  return ternary_ ? ternary_->scratch_bytes(columns) : group_->scratch_bytes(kind_.shape(kRowTile, columns));
}

size_t MatrixKernel::table_bytes(size_t columns) const {
  const auto bytes = ternary_ ? ternary_->table_bytes : group_->table_bytes;
  return bytes ? bytes(columns) : 0;
}

void MatrixKernel::build_table(const int8_t* values, size_t columns, void* table) const {
  (ternary_ ? ternary_->build_table : group_->build_table)(values, columns, table);
}

void MatrixKernel::pack(const CodeSlab& slab, size_t row, size_t count, size_t rows, uint8_t* packed) const {
  if (ternary_) {
    ternary_->pack(slab.codes(), row, count, rows, slab.columns(), packed);
  } else {
    group_->pack(kind_.shape(rows, slab.columns()), slab.codes(), slab.scales(), slab.zeros(), row, count, packed);
  }
}

void MatrixKernel::gemm(const PackedMatrix& w, const Activations& x, const float* scales, void* y, size_t ldy,
                        size_t row_begin, size_t row_end, void* scratch) const {
  if (ternary_) {
    ternary_->gemm(w, x, static_cast<int32_t*>(y), ldy, row_begin, row_end, scratch);
  } else {
    group_->gemm({kind_.shape(w.rows, w.columns), w.data, w.prefetch}, x, scales, static_cast<float*>(y), ldy, row_begin,
                 row_end, scratch);
  }
}

}  // namespace bitnet
