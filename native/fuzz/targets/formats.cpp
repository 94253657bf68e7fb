// Every reader of native/formats on tensors of any bytes: no access beyond them, no code that stands for nothing, and the
// same codes whether rows are read together or one by one.
#include "formats/format.h"

#include <cmath>
#include <cstring>

#include "formats/gptq.h"
#include "fuzz/fuzz.h"
#include "kernels/kernel.h"

using namespace bitnet;

namespace {

using Unpack = bool (*)(const uint8_t*, size_t, size_t, size_t, size_t, uint8_t*);

struct Tensor {
  const uint8_t* data;
  size_t rows, columns, begin, count;
};

void unpack(Unpack read, const Tensor& t, unsigned limit) {
  std::unique_ptr<uint8_t[]> together(new uint8_t[t.count * t.columns]), one(new uint8_t[t.columns]);
  const bool valid = read(t.data, t.rows, t.columns, t.begin, t.count, together.get());
  bool each_valid = true;
  for (size_t i = 0; i < t.count; i++) {
    each_valid &= read(t.data, t.rows, t.columns, t.begin + i, 1, one.get());
    if (valid) REQUIRE(!std::memcmp(one.get(), together.get() + i * t.columns, t.columns));
  }
  REQUIRE(each_valid == valid);
  for (size_t i = 0; valid && i < t.count * t.columns; i++) REQUIRE(together[i] < limit);
}

void groups(const GroupScales& g, const Tensor& t) {
  unpack(g.unpack_codes, t, 1u << g.bits);
  const size_t per_row = g.group ? (t.columns + g.group - 1) / g.group : 1;
  std::unique_ptr<float[]> scales(new float[t.count * per_row]);
  g.scales(t.data, t.columns, t.begin, t.count, scales.get());
  if (!g.one_scale) return;
  for (size_t i = 0; i < t.count; i++) {
    if (!g.one_scale(t.data, t.columns, t.begin + i)) continue;
    for (size_t k = 1; k < per_row; k++) {
      REQUIRE(!std::memcmp(&scales[i * per_row], &scales[i * per_row + k], sizeof(float)));
    }
  }
}

void master(const Format& format, const Tensor& t, float scale) {
  for (size_t i = 0; i < t.count; i++) format.row_magnitude(t.data, t.columns, t.begin + i);
  std::unique_ptr<uint8_t[]> codes(new uint8_t[t.count * t.columns]);
  format.quantize_codes(t.data, t.columns, t.begin, t.count, scale, codes.get());
  for (size_t i = 0; i < t.count * t.columns; i++) REQUIRE(codes[i] <= 2);
}

// One row as floats on each instruction set: the same bits as scalar, or no number on both.
void dense(DenseType type, const Tensor& t) {
  const size_t padded = round_up(t.columns, 16);
  std::unique_ptr<float[]> expected(new float[padded]), got(new float[padded]);
  for (const auto* kernel : all_kernels()) {
    if (kernel->required & ~cpu_features()) continue;
    const FloatOps& ops = float_ops_for(*kernel);
    for (size_t i = 0; i < t.count; i++) {
      kScalarFloatOps.dense_row(type, t.data, t.columns, t.begin + i, 0.5f, expected.get());
      ops.dense_row(type, t.data, t.columns, t.begin + i, 0.5f, got.get());
      for (size_t k = 0; k < t.columns; k++) {
        const bool same = !std::memcmp(&expected[k], &got[k], sizeof(float));
        REQUIRE(same || (std::isnan(expected[k]) && std::isnan(got[k])));
      }
    }
  }
}

void gptq(int bits, const Tensor& t) {
  std::unique_ptr<uint8_t[]> codes(new uint8_t[t.count * t.columns]);
  gptq_codes(t.data, bits, t.rows, t.columns, t.begin, t.count, codes.get());
  for (size_t i = 0; i < t.count * t.columns; i++) REQUIRE(codes[i] < 1u << bits);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedDataProvider in(data, size);
  const auto& formats = all_formats();
  const Format& format = *formats[in.ConsumeIntegralInRange<size_t>(0, formats.size() - 1)];
  const size_t rows = in.ConsumeIntegralInRange<size_t>(1, 64);
  // Mostly widths that formats with blocks can have.
  const size_t steps[] = {1, 4, 32, 64, 128, 256};
  const size_t columns = in.PickValueInArray(steps) * in.ConsumeIntegralInRange<size_t>(1, 9);
  const size_t begin = in.ConsumeIntegralInRange<size_t>(0, rows - 1);
  const size_t count = in.ConsumeIntegralInRange<size_t>(1, rows - begin);
  const float scale = in.ConsumeFloatingPoint<float>();
  const size_t bytes = format.bytes(rows, columns);
  if (bytes == 0) return 0;
  const auto tensor = fuzz::exact_bytes(in, bytes);
  const Tensor t{tensor.get(), rows, columns, begin, count};
  if (format.unpack_codes) unpack(format.unpack_codes, t, 3);
  if (format.scale) format.scale(t.data, rows, columns);
  if (format.groups) groups(*format.groups, t);
  if (format.row_magnitude) master(format, t, scale);
  if (format.dense_type != kNoDense) dense(static_cast<DenseType>(format.dense_type), t);
  if (format.gptq_bits) gptq(format.gptq_bits, t);
  return 0;
}
