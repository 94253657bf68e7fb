// Every kernel for group-scaled weights, and their comparison with the scalar one.
#include <cstring>
#include <sstream>

#include "aligned_buffer.h"
#include "kernels/group_kernel.h"
#include "kernels/xorshift.h"

namespace bitnet {
namespace {

constexpr const char* kMultiplyAdd = "group";
constexpr const char* kLookUp = "tmac-group";

// The instruction sets that go with a kernel's, best first.
std::vector<const char*> covered(const char* isa) {
  if (!std::strncmp(isa, "avx512", 6) || !std::strncmp(isa, "amx", 3)) {
    return {"avx512-vbmi", "avx512-vnni", "avx-vnni", "avx2", "scalar"};
  }
  if (!std::strcmp(isa, "avx-vnni")) return {"avx-vnni", "avx2", "scalar"};
  if (!std::strcmp(isa, "avx2")) return {"avx2", "scalar"};
  if (!std::strcmp(isa, "neon-i8mm") || !std::strcmp(isa, "neon-dotprod")) return {"neon-dotprod", "neon", "scalar"};
  if (!std::strcmp(isa, "neon")) return {"neon", "scalar"};
  return {"scalar"};
}

}  // namespace

const std::vector<const GroupKernel*>& all_group_kernels() {
  static const std::vector<const GroupKernel*> kernels = {
#if defined(BITNET_HAVE_AVX512)
      &kAvx512VnniGroup, &kAvx512VbmiTmacGroup,
#endif
#if defined(BITNET_HAVE_AVX_VNNI)
      &kAvxVnniGroup,
#endif
#if defined(BITNET_HAVE_AVX2)
      &kAvx2Group, &kAvx2TmacGroup,
#endif
#if defined(BITNET_HAVE_NEON_DOTPROD)
      &kNeonDotprodGroup,
#endif
#if defined(BITNET_HAVE_NEON)
      &kNeonGroup, &kNeonTmacGroup,
#endif
      &kScalarGroup, &kScalarTmacGroup,
  };
  return kernels;
}

const GroupKernel* find_group_kernel(const std::string& name) {
  for (const auto* kernel : all_group_kernels()) {
    if (name == kernel->name) return kernel;
  }
  return nullptr;
}

KernelSelection select_kernels(const std::string& choice) {
  const GroupKernel* group = find_group_kernel(choice);
  if (!group) {
    const TernaryKernel& ternary = select_kernel(choice);
    return {&ternary, std::strcmp(ternary.family, "tmac") ? kMultiplyAdd : kLookUp, ternary.isa};
  }
  require_features(group->name, group->required);
  for (const char* isa : covered(group->isa)) {
    for (const auto* kernel : all_kernels()) {
      const bool runs = !(kernel->required & ~cpu_features());
      if (runs && !std::strcmp(kernel->isa, isa) && !std::strcmp(kernel->family, "i2s")) {
        return {kernel, group->family, group->isa};
      }
    }
  }
  return {&select_kernel("scalar"), group->family, group->isa};
}

const GroupKernel& group_kernel_for(const KernelSelection& selection, const GroupShape& shape) {
  for (const char* family : {selection.group_family, kMultiplyAdd}) {
    for (const char* isa : covered(selection.group_isa)) {
      for (const auto* kernel : all_group_kernels()) {
        if (std::strcmp(kernel->isa, isa) != 0 || std::strcmp(kernel->family, family) != 0) continue;
        if (!(kernel->required & ~cpu_features()) && kernel->supports(shape)) return *kernel;
      }
    }
  }
  return kScalarGroup;
}

std::string compare_with_scalar(const GroupKernel& kernel, const GroupCase& c) {
  const GroupShape& s = c.shape;
  Random random{0x9e3779b97f4a7c15ull ^ (s.rows * 1000003 + s.columns * 101 + s.group * 7 + c.tokens)};
  const size_t groups = s.groups(), stride = round_up(s.columns, kActivationPad), ldy = round_up(s.rows, kRowTile);
  const auto mask = static_cast<uint8_t>((1 << s.bits) - 1);
  std::vector<uint8_t> codes(s.rows * s.columns), zeros(s.rows * groups);
  std::vector<float> scales(s.rows * groups), token_scales(c.tokens);
  for (auto& code : codes) code = c.extreme ? mask : static_cast<uint8_t>(random.next() & mask);
  for (auto& zero : zeros) zero = c.extreme ? 0 : static_cast<uint8_t>(random.next() & mask);
  for (auto& scale : scales) scale = static_cast<float>(static_cast<int32_t>(random.next())) * 0x1p-36f;
  for (auto& scale : token_scales) scale = static_cast<float>(random.next() >> 8) * 0x1p-30f;
  AlignedBuffer<int8_t> q(c.tokens * stride);
  std::memset(q.data(), 0, c.tokens * stride);
  std::vector<int32_t> sums(c.tokens);
  for (size_t t = 0; t < c.tokens; t++) {
    for (size_t k = 0; k < s.columns; k++) {
      q[t * stride + k] = c.extreme ? static_cast<int8_t>(t % 2 ? 127 : -128) : static_cast<int8_t>(random.next());
      sums[t] += q[t * stride + k];
    }
  }

  auto run = [&](const GroupKernel& k, size_t begin_second) {
    AlignedBuffer<uint8_t> packed(k.packed_bytes(s)), scratch(k.scratch_bytes(s) + 64);
    const size_t table = k.table_bytes ? k.table_bytes(s.columns) : 0;
    AlignedBuffer<uint8_t> tables(table * c.tokens + 64);
    for (size_t t = 0; table && t < c.tokens; t++) k.build_table(q.data() + t * stride, s.columns, tables.data() + t * table);
    std::vector<float> y(c.tokens * ldy);
    const GroupedMatrix w{s, packed.data(), 2048};
    const Activations x{q.data(), stride, sums.data(), c.tokens, table ? tables.data() : nullptr};
    // In two row ranges, as two threads would share it.
    for (size_t begin = 0; begin < s.rows; begin += begin_second) {
      const size_t count = begin_second < s.rows - begin ? begin_second : s.rows - begin;
      k.pack(s, codes.data() + begin * s.columns, scales.data() + begin * groups, zeros.data() + begin * groups, begin,
             count, packed.data());
      k.gemm(w, x, token_scales.data(), y.data(), ldy, begin, begin + count, scratch.data());
    }
    return y;
  };
  const std::vector<float> expected = run(kScalarGroup, round_up(s.rows, kRowTile));
  const std::vector<float> actual = run(kernel, round_up((s.rows + 1) / 2, kRowTile));
  for (size_t t = 0; t < c.tokens; t++) {
    for (size_t r = 0; r < s.rows; r++) {
      // NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): the bits are what is compared
      if (std::memcmp(&actual[t * ldy + r], &expected[t * ldy + r], 4) == 0) continue;
      std::ostringstream out;
      out.precision(9);
      out << kernel.name << " differs from the reference: " << s.rows << "x" << s.columns << ", groups of " << s.group
          << ", " << s.bits << " bits" << (s.zero_points ? ", zero points" : "") << ", token " << t << " of " << c.tokens
          << ", row " << r << ": " << actual[t * ldy + r] << " instead of " << expected[t * ldy + r];
      return out.str();
    }
  }
  return "";
}

std::string self_test(const GroupKernel& kernel) {
  for (const int bits : {1, 2, 3, 4, 8}) {
    for (const size_t tokens : {size_t{1}, size_t{3}, size_t{11}}) {
      for (const bool extreme : {false, true}) {
        const GroupShape shape{33, 612, 64, bits, bits == 1 ? 2 : 1, 1 << (bits - 1), tokens == 3};
        if (!kernel.supports(shape)) continue;
        std::string difference = compare_with_scalar(kernel, {shape, tokens, extreme});
        if (!difference.empty()) return difference;
      }
    }
  }
  return "";
}

}  // namespace bitnet
