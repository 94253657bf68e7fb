// Compares a kernel with the scalar reference: before a model is served, and shape by shape in the native tests.
#include "kernels/self_test.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <sstream>

#include "kernels/xorshift.h"

namespace bitnet {
namespace {

uint8_t make_code(CodeFill fill, Random& random) {
  switch (fill) {
    case CodeFill::kAllMinus: return 0;
    case CodeFill::kAllPlus: return 2;
    case CodeFill::kAllThree: return 3;
    default: return static_cast<uint8_t>(random.next() % 3);
  }
}

int8_t make_activation(ActivationFill fill, Random& random) {
  switch (fill) {
    case ActivationFill::kAllMax: return 127;
    case ActivationFill::kAllMin: return -128;
    case ActivationFill::kByteEdge: return -32;
    case ActivationFill::kOutliers: {
      const uint32_t bits = random.next();
      const auto value = static_cast<int8_t>(bits & 0xff);
      return static_cast<int8_t>(bits >> 8 & 63 ? value / 8 : value);
    }
    default: return static_cast<int8_t>(random.next() & 0xff);
  }
}

}  // namespace

std::string compare_with_scalar(const TernaryKernel& kernel, const KernelCase& c) {
  Random random{0x9e3779b97f4a7c15ull ^ (c.rows * 1000003 + c.columns * 101 + c.tokens)};
  std::vector<uint8_t> codes(c.rows * c.columns);
  for (auto& code : codes) code = make_code(c.codes, random);

  const size_t stride = round_up(c.columns, kActivationPad), ldy = round_up(c.rows, kRowTile);
  AlignedBuffer<int8_t> q(c.tokens * stride);
  std::memset(q.data(), 0, c.tokens * stride);
  std::vector<int32_t> sums(c.tokens);
  for (size_t t = 0; t < c.tokens; t++) {
    for (size_t k = 0; k < c.columns; k++) {
      q[t * stride + k] = make_activation(c.activations, random);
      sums[t] += q[t * stride + k];
    }
  }

  // The expected sums come from the codes directly, so that packing is tested too.
  std::vector<int32_t> expected(c.tokens * ldy);
  for (size_t t = 0; t < c.tokens; t++) {
    for (size_t r = 0; r < c.rows; r++) {
      int32_t sum = 0;
      for (size_t k = 0; k < c.columns; k++) sum += (codes[r * c.columns + k] - 1) * q[t * stride + k];
      expected[t * ldy + r] = sum;
    }
  }

  AlignedBuffer<uint8_t> packed(kernel.packed_bytes(c.rows, c.columns));
  // Packed in two calls where possible, as the loader does it from several threads.
  const size_t half = c.rows > kRowTile ? round_up(c.rows / 2, kRowTile) : c.rows;
  kernel.pack(codes.data(), 0, half, c.rows, c.columns, packed.data());
  if (half < c.rows) {
    kernel.pack(codes.data() + half * c.columns, half, c.rows - half, c.rows, c.columns, packed.data());
  }
  AlignedBuffer<uint8_t> scratch(kernel.scratch_bytes(c.columns) + 64);
  const size_t table_bytes = kernel.table_bytes ? kernel.table_bytes(c.columns) : 0;
  AlignedBuffer<uint8_t> tables(table_bytes * c.tokens + 64);
  for (size_t t = 0; kernel.build_table && t < c.tokens; t++) {
    kernel.build_table(q.data() + t * stride, c.columns, tables.data() + t * table_bytes);
  }

  AlignedBuffer<int32_t> y(c.tokens * ldy + 16);
  for (size_t i = 0; i < c.tokens * ldy + 16; i++) y[i] = 0x5a5a5a5a;
  const PackedMatrix w{packed.data(), c.rows, c.columns};
  const Activations x{q.data(), stride, sums.data(), c.tokens, table_bytes ? tables.data() : nullptr};
  // In two row ranges, as two threads would share it.
  kernel.gemm(w, x, y.data(), ldy, 0, half, scratch.data());
  if (half < c.rows) kernel.gemm(w, x, y.data(), ldy, half, c.rows, scratch.data());

  for (size_t t = 0; t < c.tokens; t++) {
    for (size_t r = 0; r < c.rows; r++) {
      if (y[t * ldy + r] == expected[t * ldy + r]) continue;
      std::ostringstream out;
      out << kernel.name << " differs from the reference: " << c.rows << "x" << c.columns << ", token " << t << " of "
          << c.tokens << ", row " << r << ": " << y[t * ldy + r] << " instead of " << expected[t * ldy + r];
      return out.str();
    }
  }
  for (size_t i = c.tokens * ldy; i < c.tokens * ldy + 16; i++) {
    if (y[i] != 0x5a5a5a5a) return std::string(kernel.name) + " wrote past the end of its output";
  }
  if (kernel.gemv_rows && c.tokens == 1) {
    // Two rows in three, so that lists of every length modulo 4 and rows of every place in their group occur.
    std::vector<int32_t> rows;
    for (size_t r = 0; r < c.rows; r++) {
      if (r % 3 != 1) rows.push_back(static_cast<int32_t>(r));
    }
    std::vector<int32_t> listed(round_up(rows.size(), 4) + 4, 0x5a5a5a5a);
    kernel.gemv_rows(w, x, rows.data(), rows.size(), listed.data());
    for (size_t i = 0; i < rows.size(); i++) {
      if (listed[i] != expected[static_cast<size_t>(rows[i])]) {
        return std::string(kernel.name) + " differs from the reference on a list of rows, row " + std::to_string(rows[i]);
      }
    }
    if (listed[round_up(rows.size(), 4)] != 0x5a5a5a5a) return std::string(kernel.name) + " wrote past a list of rows";
  }
  return "";
}

std::string self_test(const TernaryKernel& kernel) {
  const KernelCase cases[] = {
      {33, 100, 1, CodeFill::kRandom, ActivationFill::kRandom},
      {20, 2816, 1, CodeFill::kAllPlus, ActivationFill::kAllMax},
      {20, 2816, 1, CodeFill::kAllMinus, ActivationFill::kAllMin},
      {20, 2816, 1, CodeFill::kAllThree, ActivationFill::kAllMax},
      {20, 2816, 17, CodeFill::kAllThree, ActivationFill::kAllMin},
      {17, 640, 3, CodeFill::kRandom, ActivationFill::kRandom},
      {20, 2816, 17, CodeFill::kAllPlus, ActivationFill::kAllMin},
      {36, 2690, 14, CodeFill::kRandom, ActivationFill::kRandom},
      {40, 2690, 3, CodeFill::kRandom, ActivationFill::kOutliers},
  };
  for (const auto& c : cases) {
    if (c.codes == CodeFill::kAllThree && !kernel.four_levels) continue;
    std::string difference = compare_with_scalar(kernel, c);
    if (!difference.empty()) return difference;
  }
  return "";
}

}  // namespace bitnet
