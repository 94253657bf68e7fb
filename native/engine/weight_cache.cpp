#include "engine/weight_cache.h"

#include <cmath>
#include <cstring>

#include "engine/seeded_random.h"

namespace bitnet {
namespace {

constexpr uint64_t kWordsVersion = 1;

template <class Spec, class F>
void each_matrix(Spec& spec, F&& use) {
  for (auto& layer : spec.layers) {
    for (auto* t : {&layer.q, &layer.k, &layer.v, &layer.attn_output, &layer.gate, &layer.up, &layer.down}) use(*t);
  }
}

}  // namespace

std::string layout_fingerprint(const TernaryKernel& kernel, const FloatOps& ops) {
  // Whole tiles and a rest, in rows and columns.
  constexpr size_t kRows = 300, kColumns = 2 * kActivationPad + 77;
  uint64_t random = 1;
  std::vector<uint8_t> codes(kRows * kColumns);
  for (auto& c : codes) c = static_cast<uint8_t>(next_random(random) % 3);
  uint64_t sum = 0;
  auto add = [&](const void* data, size_t bytes) { sum = checksum(data, bytes, sum); };
  std::vector<const TernaryKernel*> kernels = {&kernel};
  for (const auto* sketch : {four_level_kernel(kernel), list_kernel(kernel)}) {
    if (sketch) kernels.push_back(sketch);
  }
  for (const auto* k : kernels) {
    std::vector<uint8_t> packed(k->packed_bytes(kRows, kColumns));
    k->pack(codes.data(), 0, kRows, kRows, kColumns, packed.data());
    add(packed.data(), packed.size());
  }
  if (const auto* by_column = column_kernel_for(kernel)) {
    std::vector<uint8_t> packed(by_column->packed_bytes(kRows, kColumns));
    by_column->pack(codes.data(), 0, kRows, kRows, kColumns, packed.data());
    add(packed.data(), packed.size());
  }
  for (int bits : {2, 4, 8}) {
    for (bool zero_points : {false, true}) {
      GroupShape shape;
      shape.rows = 48;
      shape.columns = 272;
      shape.group = 64;
      shape.bits = bits;
      shape.zero = 1;
      shape.zero_points = zero_points;
      if (!kScalarGroup.supports(shape)) continue;
      std::vector<float> scales(shape.rows * shape.groups(), 0.5f);
      std::vector<uint8_t> zeros(scales.size(), 1), packed(kScalarGroup.packed_bytes(shape));
      kScalarGroup.pack(shape, codes.data(), scales.data(), zeros.data(), 0, shape.rows, packed.data());
      add(packed.data(), packed.size());
    }
  }
  std::vector<float> row(round_up(kColumns, 16));
  for (size_t i = 0; i < kColumns; i++) row[i] = static_cast<float>(next_random(random) % 2001) / 1000.0f - 1.0f;
  for (int levels : {4, 3}) {
    float sketched[2];
    sketched[0] = ops.sketch_row(row.data(), kColumns, levels, codes.data(), &sketched[1], nullptr, nullptr);
    add(sketched, sizeof sketched);
    add(codes.data(), kColumns);
  }
  return std::to_string(sum);
}

uint64_t source_fingerprint(const ModelSpec& spec, const std::vector<MappedFile>& files) {
  constexpr uint64_t kSample = 1024;
  uint64_t sum = 0;
  auto sample = [&](const TensorRef& t) {
    const uint64_t bytes = std::min<uint64_t>(kSample, t.byte_length), offset = t.offset + (t.byte_length - bytes) / 2;
    sum = checksum(files[t.file].data() + offset, bytes, sum);
    files[t.file].release(offset & ~uint64_t{0xffff}, uint64_t{128} << 10);  // what a fault maps around it
  };
  each_matrix(spec, sample);
  sample(spec.token_embedding);
  if (spec.output) sample(*spec.output);
  return sum;
}

std::vector<uint64_t> cache_words(const ModelSpec& spec, uint64_t plan) {
  std::vector<uint64_t> words = {kWordsVersion, plan};
  each_matrix(spec, [&](const TensorRef& t) {
    uint32_t scale = 0;
    if (t.scale) std::memcpy(&scale, &*t.scale, 4);
    words.push_back(uint64_t{t.grouped} | uint64_t{t.scale.has_value()} << 1 | uint64_t{scale} << 32);
  });
  return words;
}

bool read_cache_words(const uint8_t* data, size_t bytes, ModelSpec& spec, uint64_t& plan) {
  std::vector<uint64_t> words(bytes / 8);
  std::memcpy(words.data(), data, words.size() * 8);
  if (words.size() != 2 + 7 * spec.layers.size() || words[0] != kWordsVersion) return false;
  plan = words[1];
  size_t at = 2;
  bool fits = true;
  each_matrix(spec, [&](TensorRef& t) {
    const uint64_t word = words[at++];
    const Format& format = find_format(t.format, t.name);
    const bool grouped = word & 1, scaled = word & 2;
    const auto bits = static_cast<uint32_t>(word >> 32);
    float scale;
    std::memcpy(&scale, &bits, 4);
    // What no scan could have found, another hand wrote.
    const bool may_group = format.groups || format.gptq_bits;
    const bool must_group = format.gptq_bits || (format.groups && !format.groups->one_scale);
    fits = fits && (grouped ? may_group : !must_group) && scaled == (t.scale.has_value() || format.row_magnitude) &&
           (!scaled || std::isfinite(scale));
    if (!fits) return;
    t.grouped = grouped;
    if (format.row_magnitude) t.scale = scale;
  });
  return fits;
}

void each_sketch_vector(HeadSketch& sketch, const std::function<void(std::vector<float>&)>& use) {
  for (auto* plane : {&sketch.first, &sketch.second}) {
    if (!plane->packed.bytes()) continue;
    for (auto* values : {&plane->scales, &plane->errors, &plane->column_weights}) use(*values);
  }
}

}  // namespace bitnet
