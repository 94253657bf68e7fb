// Every kernel this CPU can run, against sums taken from the codes: shapes x batch sizes x fills.
#include <algorithm>
#include <cstring>

#include "kernels/self_test.h"
#include "tests/tests.h"

using namespace bitnet;

namespace {

struct Shape {
  size_t rows, columns;
};

// kAllThree needs a fourth level; the values of some fills matter only where the work depends on sums.
bool takes(const TernaryKernel& kernel, CodeFill codes, ActivationFill activations) {
  return (codes != CodeFill::kAllThree || kernel.four_levels) && (activations < ActivationFill::kOutliers || kernel.build_table);
}

// Where all codes or activations are the same, so are the rows: more than every block of rows has give nothing new.
size_t rows_of(const Shape& shape, CodeFill codes, ActivationFill activations) {
  const bool differ = codes == CodeFill::kRandom && (activations == ActivationFill::kRandom || activations == ActivationFill::kOutliers);
  return differ ? shape.rows : std::min(shape.rows, 64 + shape.rows % kRowTile);
}

// The scalar kernels take a batch token by token: on large shapes a few of them are enough.
bool repeats(const TernaryKernel& kernel, const Shape& shape, size_t tokens) {
  return !std::strcmp(kernel.isa, "scalar") && shape.rows * shape.columns > 100000 && tokens > 3 && tokens != 13;
}

}  // namespace

void test_kernels(Scope scope, TestResult& result) {
  std::vector<Shape> shapes = {{17, 100}, {40, 1281}};
  if (scope != Scope::kSmoke) {
    for (Shape s : {Shape{1, 1}, {16, 256}, {5, 257}, {33, 640}, {641, 64}}) shapes.push_back(s);
  }
  if (scope == Scope::kFull) {
    for (Shape s : {Shape{64, 2560}, {2560, 256}, {48, 6912}, {100, 8640}, {641, 2561}, {80, 14336}}) shapes.push_back(s);
  }
  const std::vector<size_t> batches = scope != Scope::kFull
                                          ? std::vector<size_t>{1, 2, 7, 13, 70}
                                          : std::vector<size_t>{1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 16, 31, 64, 100};
  for (auto& [kernel, section] : kernel_sections(all_kernels(), result)) {
    section.run([&, kernel = kernel] {
      for (const auto& shape : shapes) {
        for (size_t tokens : batches) {
          if (repeats(*kernel, shape, tokens)) continue;
          for (auto codes : {CodeFill::kRandom, CodeFill::kAllMinus, CodeFill::kAllPlus, CodeFill::kAllThree}) {
            if (scope != Scope::kFull && codes != CodeFill::kRandom && tokens > 2 && tokens != 13) continue;
            for (auto activations : {ActivationFill::kRandom, ActivationFill::kAllMax, ActivationFill::kAllMin,
                                     ActivationFill::kOutliers, ActivationFill::kByteEdge}) {
              if (!takes(*kernel, codes, activations)) continue;
              const auto difference =
                  compare_with_scalar(*kernel, {rows_of(shape, codes, activations), shape.columns, tokens, codes, activations});
              result.check(difference.empty(), difference);
            }
          }
        }
      }
    });
    section.report();
  }
}
