#include "engine/weight_reader.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "error.h"

namespace bitnet {
namespace {

int zero_of(int bits) { return bits == 2 ? 1 : 1 << (bits - 1); }

}  // namespace

WeightReader::WeightReader(const TensorRef& tensor, const std::vector<MappedFile>& files)
    : tensor_(tensor),
      files_(files),
      format_(find_format(tensor.format, tensor.name)),
      data_(files[tensor.file].data() + tensor.offset) {}

bool WeightReader::find_one_scale() const {
  if (!format_.groups) return true;
  if (!format_.groups->one_scale) return false;
  for (size_t row = 0; row < tensor_.rows; row++) {
    if (!format_.groups->one_scale(data_, tensor_.columns, row)) return false;
  }
  return true;
}

GroupShape WeightReader::shape() const {
  GroupShape s;
  s.rows = tensor_.rows;
  s.columns = tensor_.columns;
  s.group = tensor_.grouped && format_.groups ? format_.groups->group : 0;
  s.bits = format_.groups ? format_.groups->bits : 2;
  s.zero = format_.groups ? format_.groups->zero : 1;
  return s;
}

size_t WeightReader::stored_row(size_t row) const {
  if (!tensor_.unpermute_heads) return row;
  const size_t head_rows = tensor_.rows / tensor_.unpermute_heads, half = head_rows / 2, in_head = row % head_rows;
  return row - in_head + (in_head < half ? 2 * in_head : 2 * (in_head - half) + 1);
}

void WeightReader::read(size_t stored, size_t count, uint8_t* out) const {
  bool valid = true;
  if (format_.quantize_codes) {
    format_.quantize_codes(data_, tensor_.columns, stored, count, *tensor_.scale, out);
  } else {
    const auto unpack = tensor_.grouped ? format_.groups->unpack_codes : format_.unpack_codes;
    valid = unpack(data_, tensor_.rows, tensor_.columns, stored, count, out);
  }
  if (!valid) {
    throw Error(kModelFormat, "Tensor \"" + tensor_.name + "\" holds the code 3, which no ternary weight has: the file "
                                  "is damaged or in another layout.");
  }
}

void WeightReader::codes(size_t row, size_t count, uint8_t* out) const {
  if (!tensor_.unpermute_heads) return read(row, count, out);
  for (size_t i = 0; i < count; i++) read(stored_row(row + i), 1, out + i * tensor_.columns);
}

void WeightReader::scales(size_t row, std::vector<float>& out) const {
  if (tensor_.scale) {
    out.assign(1, *tensor_.scale);
  } else if (format_.scale) {
    out.assign(1, format_.scale(data_, tensor_.rows, tensor_.columns));
  } else {
    const size_t group = format_.groups->group ? format_.groups->group : tensor_.columns;
    out.resize((tensor_.columns + group - 1) / group);
    format_.groups->scales(data_, tensor_.columns, stored_row(row), 1, out.data());
    if (!tensor_.grouped) out.resize(1);
  }
  for (const float scale : out) {
    if (!std::isfinite(scale)) {
      throw Error(kModelFormat, "Tensor \"" + tensor_.name + "\" has a scale that is not a finite number: the file is damaged.");
    }
  }
}

void WeightReader::release(size_t row, size_t count) const {
  const uint64_t row_bytes = tensor_.byte_length / tensor_.rows;
  files_[tensor_.file].release(tensor_.offset + row * row_bytes, count * row_bytes);
}

GroupShape common_shape(const std::vector<GroupShape>& parts, size_t rows, size_t columns) {
  GroupShape s;
  s.rows = rows;
  s.columns = columns;
  for (const auto& part : parts) {
    s.bits = std::max(s.bits, part.bits);
    s.group = std::gcd(s.group, part.group);
    s.zero_points = s.zero_points || part.zero_points;
  }
  if (s.group == 0) s.group = round_up(columns, kGroupStep);
  s.zero = zero_of(s.bits);
  return s;
}

}  // namespace bitnet
