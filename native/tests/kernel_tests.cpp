// Every kernel this CPU can run, against sums taken from the codes: shapes x batch sizes x fills.
#include <cstdio>

#include "kernels/self_test.h"
#include "tests/tests.h"

using namespace bitnet;

namespace {
struct Shape {
  size_t rows, columns;
};
}  // namespace

void test_kernels(bool quick, TestResult& result) {
  std::vector<Shape> shapes = {{1, 1}, {16, 256}, {17, 100}, {5, 257}, {33, 640}, {641, 64}, {40, 1281}};
  if (!quick) {
    for (Shape s : {Shape{64, 2560}, {2560, 256}, {48, 6912}, {100, 8640}, {641, 2561}, {80, 14336}}) shapes.push_back(s);
  }
  const std::vector<size_t> batches =
      quick ? std::vector<size_t>{1, 2, 7, 13, 70} : std::vector<size_t>{1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 16, 31, 64, 100};
  for (const auto* kernel : all_kernels()) {
    if (kernel->required & ~cpu_features()) {
      result.skipped++;
      std::printf("skip %s: the CPU lacks features it needs\n", kernel->name);
      continue;
    }
    const int before = result.failed;
    for (const auto& shape : shapes) {
      for (size_t tokens : batches) {
        for (auto codes : {CodeFill::kRandom, CodeFill::kAllMinus, CodeFill::kAllPlus, CodeFill::kAllThree}) {
          if (codes == CodeFill::kAllThree && !kernel->four_levels) continue;
          for (auto activations : {ActivationFill::kRandom, ActivationFill::kAllMax, ActivationFill::kAllMin,
                                   ActivationFill::kOutliers, ActivationFill::kByteEdge}) {
            if (quick && codes != CodeFill::kRandom && tokens > 2 && tokens != 13) continue;
            if (activations >= ActivationFill::kOutliers && !kernel->build_table) continue;  // no work depends on sums
            const auto difference = compare_with_scalar(*kernel, {shape.rows, shape.columns, tokens, codes, activations});
            result.check(difference.empty(), difference);
          }
        }
      }
    }
    std::printf("%s %s\n", result.failed == before ? "ok  " : "FAIL", kernel->name);
  }
}
