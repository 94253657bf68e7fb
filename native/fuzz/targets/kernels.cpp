// Every kernel of this CPU on any shape, codes, activations and row range: it stays inside its buffers, and its sums are
// those of the codes.
#include <cmath>
#include <cstring>

#include "aligned_buffer.h"
#include "fuzz/fuzz.h"
#include "kernels/column_kernel.h"
#include "kernels/group_kernel.h"
#include "kernels/kernel.h"
#include "kernels/self_test.h"

using namespace bitnet;

namespace {

// Activations as the forward pass lays them out.
struct Inputs {
  size_t tokens, columns, stride;
  AlignedBuffer<int8_t> values;
  std::vector<int32_t> sums;

  Inputs(FuzzedDataProvider& in, size_t count, size_t width)
      : tokens(count), columns(width), stride(round_up(width, kActivationPad)), values(count * stride), sums(count) {
    const std::vector<uint8_t> given = in.ConsumeBytes<uint8_t>(in.ConsumeIntegralInRange<size_t>(1, 64));
    for (size_t t = 0; t < tokens; t++) {
      for (size_t k = 0; k < stride; k++) {
        const uint8_t byte = given.empty() ? 0x80 : given[(t * 31 + k) % given.size()];
        values[t * stride + k] = k < columns ? static_cast<int8_t>(byte) : int8_t{0};
        sums[t] += values[t * stride + k];
      }
    }
  }

  template <class Kernel>
  Activations activations(const Kernel& kernel, AlignedBuffer<uint8_t>& tables) const {
    if (!kernel.build_table) return {values.data(), stride, sums.data(), tokens, nullptr};
    const size_t bytes = kernel.table_bytes(columns);
    tables = AlignedBuffer<uint8_t>(tokens * bytes);
    for (size_t t = 0; t < tokens; t++) kernel.build_table(values.data() + t * stride, columns, tables.data() + t * bytes);
    return {values.data(), stride, sums.data(), tokens, tables.data()};
  }
};

int32_t expected(const uint8_t* codes, const Inputs& x, size_t row, size_t token) {
  int32_t sum = 0;
  for (size_t k = 0; k < x.columns; k++) sum += (codes[row * x.columns + k] - 1) * x.values[token * x.stride + k];
  return sum;
}

void ternary(FuzzedDataProvider& in, const TernaryKernel& kernel, size_t rows, const Inputs& x) {
  const size_t begin = in.ConsumeIntegralInRange<size_t>(0, (rows - 1) / kRowTile) * kRowTile;
  const size_t end = in.ConsumeIntegralInRange<size_t>(begin + 1, rows);
  const size_t prefetch = in.ConsumeIntegralInRange<size_t>(0, 1 << 20);
  const size_t split = in.ConsumeIntegralInRange<size_t>(0, rows / kRowTile) * kRowTile;
  const auto codes = fuzz::exact_bytes(in, rows * x.columns);
  const uint8_t levels = kernel.four_levels ? 4 : 3;
  for (size_t i = 0; i < rows * x.columns; i++) codes[i] = static_cast<uint8_t>(codes[i] % levels);
  AlignedBuffer<uint8_t> packed(kernel.packed_bytes(rows, x.columns)), scratch(kernel.scratch_bytes(x.columns)), tables;
  // In two parts, as threads do.
  if (split) kernel.pack(codes.get(), 0, split, rows, x.columns, packed.data());
  if (split < rows) kernel.pack(codes.get() + split * x.columns, split, rows - split, rows, x.columns, packed.data());
  const PackedMatrix w{packed.data(), rows, x.columns, prefetch};
  const Activations a = x.activations(kernel, tables);
  const size_t ldy = round_up(rows, kRowTile);
  AlignedBuffer<int32_t> y(x.tokens * ldy);
  kernel.gemm(w, a, y.data(), ldy, begin, end, scratch.data());
  for (size_t t = 0; t < x.tokens; t++) {
    for (size_t r = begin; r < end; r++) REQUIRE(y[t * ldy + r] == expected(codes.get(), x, r, t));
  }
  if (!kernel.gemv_rows || x.tokens != 1) return;
  std::vector<int32_t> list;
  for (size_t r = 0; r < rows; r += 1 + codes[r] % 3) list.push_back(static_cast<int32_t>(r));
  AlignedBuffer<int32_t> some(round_up(list.size(), 4));
  kernel.gemv_rows(w, a, list.data(), list.size(), some.data());
  for (size_t i = 0; i < list.size(); i++) REQUIRE(some[i] == expected(codes.get(), x, static_cast<size_t>(list[i]), 0));
}

void grouped(FuzzedDataProvider& in, const GroupKernel& kernel, size_t rows, const Inputs& x) {
  GroupShape shape;
  shape.rows = rows;
  shape.columns = x.columns;
  shape.group = kGroupStep * in.ConsumeIntegralInRange<size_t>(1, 20);
  shape.zero_points = in.ConsumeBool();
  const int widths[] = {1, 2, 3, 4, 8};
  shape.bits = in.PickValueInArray(widths);
  shape.step = shape.bits == 1 ? 2 : 1;
  shape.zero = shape.bits == 1 ? 1 : in.ConsumeIntegralInRange<int>(0, (1 << shape.bits) - 1);
  if (!kernel.supports(shape)) return;
  const size_t groups = shape.groups(), ldy = round_up(rows, kRowTile);
  std::vector<float> scales(rows * groups);
  for (auto& s : scales) s = in.ConsumeFloatingPointInRange<float>(-4, 4);
  std::vector<uint8_t> zeros(shape.zero_points ? rows * groups : 0);
  // GPTQ's zeros reach 2^bits: a stored one and an offset of 1.
  for (auto& z : zeros) z = static_cast<uint8_t>(in.ConsumeIntegralInRange<int>(0, shape.bits == 8 ? 255 : 1 << shape.bits));
  const auto codes = fuzz::exact_bytes(in, rows * x.columns);
  for (size_t i = 0; i < rows * x.columns; i++) codes[i] &= static_cast<uint8_t>((1 << shape.bits) - 1);
  const std::vector<float> token_scales(x.tokens, 0.125f);
  std::vector<float> results[2];
  const GroupKernel* both[2] = {&kScalarGroup, &kernel};
  for (size_t i = 0; i < 2; i++) {
    AlignedBuffer<uint8_t> packed(both[i]->packed_bytes(shape)), scratch(both[i]->scratch_bytes(shape)), tables;
    both[i]->pack(shape, codes.get(), scales.data(), zeros.data(), 0, rows, packed.data());
    results[i].resize(x.tokens * ldy);
    both[i]->gemm({shape, packed.data(), 0}, x.activations(*both[i], tables), token_scales.data(), results[i].data(), ldy, 0,
                  rows, scratch.data());
  }
  for (size_t t = 0; t < x.tokens; t++) REQUIRE(!std::memcmp(&results[0][t * ldy], &results[1][t * ldy], rows * sizeof(float)));
}

void by_column(FuzzedDataProvider& in, const ColumnKernel& kernel, size_t rows, const Inputs& x) {
  const auto codes = fuzz::exact_bytes(in, rows * x.columns);
  for (size_t i = 0; i < rows * x.columns; i++) codes[i] %= 3;
  AlignedBuffer<uint8_t> packed(kernel.packed_bytes(rows, x.columns));
  kernel.pack(codes.get(), 0, rows, rows, x.columns, packed.data());
  const Activations all{x.values.data(), x.stride, x.sums.data(), x.tokens, nullptr};
  const PackedMatrix w{packed.data(), rows, x.columns};
  if (x.tokens <= kMostLiveTokens) {
    std::unique_ptr<ColumnId[]> ids(new ColumnId[x.tokens * x.columns]);
    size_t counts[kMostLiveTokens];
    for (size_t t = 0; t < x.tokens; t++) {
      counts[t] = kernel.nonzero(x.values.data() + t * x.stride, x.columns, ids.get() + t * x.columns);
    }
    const size_t blocks = kernel.blocks(rows), width = blocks * kernel.block_rows();
    AlignedBuffer<int32_t> y(x.tokens * width);
    kernel.gemm_live(w, {ids.get(), x.columns, counts}, all, y.data(), width, 0, blocks);
    for (size_t t = 0; t < x.tokens; t++) {
      for (size_t r = 0; r < rows; r++) REQUIRE(y[t * width + r] == expected(codes.get(), x, r, t));
    }
  }

  // All inputs, in two parts of the rows.
  const size_t ldy = round_up(rows, kColumnFieldRows), cut = rows / 2 / kColumnFieldRows * kColumnFieldRows;
  AlignedBuffer<int32_t> sums(x.tokens * ldy);
  AlignedBuffer<uint8_t> scratch(kernel.scratch_bytes(rows) + 64);
  kernel.gemm(w, {nullptr, x.columns}, all, sums.data(), ldy, cut, rows, scratch.data());
  if (cut > 0) kernel.gemm(w, {nullptr, x.columns}, all, sums.data(), ldy, 0, cut, scratch.data());
  for (size_t t = 0; t < x.tokens; t++) {
    for (size_t r = 0; r < rows; r++) REQUIRE(sums[t * ldy + r] == expected(codes.get(), x, r, t));
  }
}

template <class Kernel>
std::vector<const Kernel*> runnable(const std::vector<const Kernel*>& kernels) {
  std::vector<const Kernel*> out;
  for (const auto* kernel : kernels) {
    if (!(kernel->required & ~cpu_features())) out.push_back(kernel);
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto ternary_kernels = runnable(all_kernels());
  static const auto group_kernels = runnable(all_group_kernels());
  FuzzedDataProvider in(data, size);
  const int kind = in.ConsumeIntegralInRange<int>(0, 3);
  const size_t which = in.ConsumeIntegral<uint8_t>();
  const size_t rows = in.ConsumeIntegralInRange<size_t>(1, 300), columns = in.ConsumeIntegralInRange<size_t>(1, 1400);
  const Inputs x(in, in.ConsumeIntegralInRange<size_t>(1, 17), columns);
  if (kind < 2) {
    ternary(in, *ternary_kernels[which % ternary_kernels.size()], rows, x);
  } else if (kind == 2) {
    grouped(in, *group_kernels[which % group_kernels.size()], rows, x);
  } else if (const auto* kernel = column_kernel_for(*ternary_kernels[which % ternary_kernels.size()])) {
    by_column(in, *kernel, rows, x);
  }
  return 0;
}
