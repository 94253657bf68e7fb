// Reads the matrix of a linear layer from its file, whatever its format: rows in the order of use, as codes with scales.
#pragma once

#include "engine/mapped_file.h"
#include "engine/model_spec.h"
#include "formats/format.h"
#include "kernels/group_kernel.h"

namespace bitnet {

class WeightReader {
 public:
  WeightReader(const TensorRef& tensor, const std::vector<MappedFile>& files);

  // Whether a row's weights are ternary with one scale: only then is its product one of exact integers. Looks at every
  // scale of a format that has several, until one differs.
  bool find_one_scale() const;

  // How the scales lie, for the group-scaled product: `group` 0 for one scale a row; bits 2 and zero 1 for ternary ones.
  GroupShape shape() const;

  // Codes of rows row .. row + count - 1, [count][columns]. Throws Error where the file holds an impossible one.
  void codes(size_t row, size_t count, uint8_t* out) const;
  // The row's scales: one, or one a group as shape() says. Throws Error where one is not finite.
  void scales(size_t row, std::vector<float>& out) const;
  // Appends every row's first scale, which is its only one where it is not scaled by group.
  void add_row_scales(std::vector<float>& out) const;
  // The row's zero points, where shape() says that it has them.
  void zeros(size_t row, std::vector<uint8_t>& out) const;
  // Which column of the file stands at each place, so that groups are runs: GPTQ's order by activation. Empty: they are
  // already. Throws Error where groups aren't of one size.
  std::vector<uint32_t> column_order() const;
  // Lets go of the pages of these rows, which were read for the last time.
  void release(size_t row, size_t count) const;

 private:
  // Stored interleaved (2i, 2i + 1 rotate together), used half-split (i, i + half).
  size_t stored_row(size_t row) const;
  float gptq_scale(size_t group, size_t row) const;
  void read(size_t stored, size_t count, uint8_t* out) const;

  const TensorRef& tensor_;
  const std::vector<MappedFile>& files_;
  const Format& format_;
  const uint8_t* data_;
};

// Group-scaled parts that are stacked into one matrix share a shape: the widest codes, the largest group that divides all.
// Parts with one scale a row fit any.
GroupShape common_shape(const std::vector<GroupShape>& parts, size_t rows, size_t columns);

}  // namespace bitnet
