#include "engine/weight_reader.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "error.h"
#include "formats/gptq.h"
#include "formats/half.h"

namespace bitnet {
namespace {

int zero_of(int bits) { return bits <= 2 ? 1 : 1 << (bits - 1); }

}  // namespace

WeightReader::WeightReader(const TensorRef& tensor, const std::vector<MappedFile>& files)
    : tensor_(tensor),
      files_(files),
      format_(find_format(tensor.format, tensor.name)),
      data_(files[tensor.file].data() + tensor.offset) {}

bool WeightReader::find_one_scale() const {
  if (format_.gptq_bits) return false;
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
  if (format_.gptq_bits) {
    s.group = tensor_.gptq->size >= s.columns ? 0 : tensor_.gptq->size;
    s.bits = format_.gptq_bits;
    s.zero_points = true;
    return s;
  }
  const GroupScales* scales = tensor_.grouped ? format_.groups : nullptr;
  s.group = scales ? scales->group : 0;
  s.bits = scales ? scales->bits : 2;
  s.step = scales ? scales->step : 1;
  s.zero = scales ? scales->zero : 1;
  return s;
}

size_t WeightReader::stored_row(size_t row) const {
  if (!tensor_.unpermute_heads) return row;
  const size_t head_rows = tensor_.rows / tensor_.unpermute_heads, half = head_rows / 2, in_head = row % head_rows;
  return row - in_head + (in_head < half ? 2 * in_head : 2 * (in_head - half) + 1);
}

void WeightReader::read(size_t stored, size_t count, uint8_t* out) const {
  bool valid = true;
  if (format_.gptq_bits) {
    gptq_codes(data_, format_.gptq_bits, tensor_.rows, tensor_.columns, stored, count, out);
  } else if (format_.quantize_codes) {
    format_.quantize_codes(data_, tensor_.columns, stored, count, *tensor_.scale, out);
  } else {
    const auto unpack = tensor_.grouped ? format_.groups->unpack_codes : format_.unpack_codes;
    valid = unpack(data_, tensor_.rows, tensor_.columns, stored, count, out);
  }
  if (!valid) {
    const char* reason = format_.invalid ? format_.invalid
                         : format_.tiled ? "holds an index that stands for no ternary weights: the file is damaged or in "
                                           "another layout"
                                         : "holds the code 3, which no ternary weight has: the file is damaged or in another "
                                           "layout";
    throw Error(kModelFormat, "Tensor \"" + tensor_.name + "\" " + reason + ".");
  }
}

void WeightReader::codes(size_t row, size_t count, uint8_t* out) const {
  if (!tensor_.unpermute_heads) return read(row, count, out);
  for (size_t i = 0; i < count; i++) read(stored_row(row + i), 1, out + i * tensor_.columns);
}

void WeightReader::scales(size_t row, std::vector<float>& out) const {
  if (format_.gptq_bits) {
    out.resize((tensor_.columns + tensor_.gptq->size - 1) / tensor_.gptq->size);
    for (size_t g = 0; g < out.size(); g++) out[g] = gptq_scale(g, stored_row(row));
  } else if (tensor_.scale) {
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

void WeightReader::add_row_scales(std::vector<float>& out) const {
  const bool one = !format_.gptq_bits && (tensor_.scale || format_.scale);
  std::vector<float> scale;
  for (size_t row = 0; row < tensor_.rows; row++) {
    if (row == 0 || !one) scales(row, scale);
    out.push_back(scale[0]);
  }
}

float WeightReader::gptq_scale(size_t group, size_t row) const {
  const TensorRef& t = tensor_.gptq->scales;
  const uint8_t* data = files_[t.file].data() + t.offset;
  const size_t i = group * tensor_.rows + row;
  if (t.format == "f16") return half_to_float(data + 2 * i);
  uint32_t bits = 0;
  if (t.format == "bf16") {
    uint16_t high;
    std::memcpy(&high, data + 2 * i, 2);
    bits = static_cast<uint32_t>(high) << 16;
  } else {
    std::memcpy(&bits, data + 4 * i, 4);
  }
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

void WeightReader::zeros(size_t row, std::vector<uint8_t>& out) const {
  const GptqRef& g = *tensor_.gptq;
  out.resize((tensor_.columns + g.size - 1) / g.size);
  for (size_t i = 0; i < out.size(); i++) {
    const uint8_t stored = gptq_zero(files_[g.zeros.file].data() + g.zeros.offset, format_.gptq_bits, tensor_.rows, i,
                                     stored_row(row));
    out[i] = static_cast<uint8_t>(stored + g.zero_offset);
  }
}

std::vector<uint32_t> WeightReader::column_order() const {
  std::vector<uint32_t> order;
  if (!tensor_.gptq || !tensor_.gptq->index) return order;
  const TensorRef& index = *tensor_.gptq->index;
  const size_t columns = tensor_.columns, size = tensor_.gptq->size, groups = (columns + size - 1) / size;
  std::vector<size_t> filled(groups, 0);
  order.resize(columns);
  bool natural = true;
  for (size_t k = 0; k < columns; k++) {
    int32_t stored;
    std::memcpy(&stored, files_[index.file].data() + index.offset + 4 * k, 4);
    const auto group = static_cast<size_t>(stored);
    const size_t room = group < groups ? std::min(size, columns - group * size) : 0;
    if (stored < 0 || group >= groups || filled[group] == room) {
      throw Error(kModelFormat, "Tensor \"" + index.name + "\" puts column " + std::to_string(k) + " into group " +
                                    std::to_string(stored) + ": that group does not exist or already has its " +
                                    std::to_string(room) + " columns. The file is damaged or its group size is another.");
    }
    const size_t place = group * size + filled[group]++;
    order[place] = static_cast<uint32_t>(k);
    natural = natural && place == k;
  }
  if (natural) order.clear();
  return order;
}

void WeightReader::release(size_t row, size_t count) const {
  if (format_.gptq_bits || format_.tiled) return;  // rows lie across the whole tensor
  const uint64_t row_bytes = tensor_.byte_length / tensor_.rows;
  files_[tensor_.file].release(tensor_.offset + row * row_bytes, count * row_bytes);
}

GroupShape common_shape(const std::vector<GroupShape>& parts, size_t rows, size_t columns) {
  GroupShape s;
  s.rows = rows;
  s.columns = columns;
  s.step = 2;
  for (const auto& part : parts) {
    s.bits = std::max(s.bits, part.bits);
    s.step = std::min(s.step, part.step);
    s.group = std::gcd(s.group, part.group);
    s.zero_points = s.zero_points || part.zero_points;
  }
  if (s.group == 0) s.group = round_up(columns, kGroupStep);
  s.zero = zero_of(s.bits);
  return s;
}

}  // namespace bitnet
