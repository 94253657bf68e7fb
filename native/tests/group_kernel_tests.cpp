// Kernels for group-scaled weights: the scalar one against double precision on the weights themselves, all others against
// the scalar one, bit for bit.
#include <cmath>
#include <random>
#include <vector>

#include "aligned_buffer.h"
#include "kernels/group_kernel.h"
#include "tests/tests.h"

using namespace bitnet;

namespace {

// sum of (code - zero) * scale * q * s in double, against the packed product.
void test_definition(const GroupShape& s, TestResult& result) {
  std::mt19937 rng(7);
  const size_t groups = s.groups(), stride = round_up(s.columns, kActivationPad), ldy = round_up(s.rows, kRowTile);
  std::vector<uint8_t> codes(s.rows * s.columns), zeros(s.rows * groups);
  std::vector<float> scales(s.rows * groups);
  std::uniform_real_distribution<float> uniform(0.5f, 1.5f);
  for (auto& c : codes) c = static_cast<uint8_t>(rng() & ((1u << s.bits) - 1));
  for (auto& z : zeros) z = static_cast<uint8_t>(rng() & ((1u << s.bits) - 1));
  for (auto& f : scales) f = uniform(rng);
  AlignedBuffer<int8_t> q(stride);
  int32_t sum = 0;
  for (size_t k = 0; k < stride; k++) {
    q[k] = k < s.columns ? static_cast<int8_t>(rng()) : 0;
    sum += q[k];
  }
  AlignedBuffer<uint8_t> packed(kScalarGroup.packed_bytes(s));
  kScalarGroup.pack(s, codes.data(), scales.data(), zeros.data(), 0, s.rows, packed.data());
  std::vector<float> y(ldy);
  const float token_scale = 0.01f;
  kScalarGroup.gemm({s, packed.data(), 0}, {q.data(), stride, &sum, 1, nullptr}, &token_scale, y.data(), ldy, 0, s.rows,
                    nullptr);
  for (size_t r = 0; r < s.rows; r++) {
    double expected = 0, magnitude = 0;
    for (size_t k = 0; k < s.columns; k++) {
      const size_t g = r * groups + k / s.group;
      const double term = (s.step * codes[r * s.columns + k] - (s.zero_points ? zeros[g] : s.zero)) * double(scales[g]) * q[k] * 0.01f;
      expected += term;
      magnitude += std::fabs(term);
    }
    result.check(std::fabs(y[r] - expected) <= 1e-6 * magnitude + 1e-6,
                 "scalar-group row " + std::to_string(r) + ": " + std::to_string(y[r]) + " instead of " + std::to_string(expected));
  }
}

}  // namespace

void test_group_kernels(Scope scope, TestResult& result) {
  run_section(result, "definition of group-scaled products", [&] {
    for (const int bits : {1, 2, 3, 4, 8}) {
      for (const bool zero_points : {false, true}) {
        for (const int step : {1, 2}) {
          const GroupShape s{19, 300, 32, bits, step, 1, zero_points};
          if (kScalarGroup.supports(s)) test_definition(s, result);
        }
      }
    }
  });
  struct Shape {
    size_t rows, columns, group;
  };
  constexpr size_t kLarge = 60000;  // weights: what the scalar kernel need not be compared with itself on
  std::vector<Shape> shapes = {{17, 100, 32}, {35, 75, 80}};
  if (scope != Scope::kSmoke) {
    for (Shape s : {Shape{1, 1, 16}, {33, 640, 64}, {40, 1281, 128}}) shapes.push_back(s);
  }
  if (scope == Scope::kFull) {
    for (Shape s : {Shape{64, 2560, 256}, {641, 2561, 128}, {48, 8640, 32}, {16, 4096, 4096}, {100, 300, 304}}) {
      shapes.push_back(s);
    }
  }
  for (auto& [kernel, section] : kernel_sections(all_group_kernels(), result)) {
    section.run([&, kernel = kernel] {
      const std::string self = self_test(*kernel);
      result.check(self.empty(), self);
      for (const auto& s : shapes) {
        if (kernel == &kScalarGroup && s.rows * s.columns > kLarge) continue;
        for (const int bits : {1, 2, 3, 4, 8}) {
          for (const size_t tokens : std::initializer_list<size_t>{1, 2, 5, 8, 13}) {
            for (const bool zero_points : {false, true}) {
              for (const bool extreme : {false, true}) {
                if (scope != Scope::kFull && tokens > 5 && extreme) continue;
                const GroupShape shape{s.rows, s.columns, s.group, bits, bits == 1 && tokens % 2 ? 2 : 1, 1 << (bits - 1), zero_points};
                if (!kernel->supports(shape)) continue;
                const std::string difference = compare_with_scalar(*kernel, {shape, tokens, extreme});
                result.check(difference.empty(), difference);
              }
            }
          }
        }
      }
    });
    section.report();
  }
}
