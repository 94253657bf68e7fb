// Every kernel this CPU can run, against sums taken from the codes: shapes x batch sizes x fills.
// Usage: native_tests [--quick]   (quick: small shapes, for emulators)
#include <cstdio>
#include <cstring>

#include "kernels/self_test.h"

namespace {

using namespace bitnet;

struct Shape {
  size_t rows, columns;
};

int run(bool quick) {
  const std::vector<Shape> small = {{1, 1}, {16, 256}, {17, 100}, {5, 257}, {33, 640}, {641, 64}, {40, 1281}};
  const std::vector<Shape> large = {{64, 2560}, {2560, 256}, {48, 6912}, {100, 8640}, {641, 2561}, {80, 14336}};
  std::vector<Shape> shapes = small;
  if (!quick) shapes.insert(shapes.end(), large.begin(), large.end());
  const std::vector<size_t> batches = quick ? std::vector<size_t>{1, 2, 7, 13} : std::vector<size_t>{1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 16, 31, 64};
  int passed = 0, failed = 0, skipped = 0;
  for (const auto* kernel : all_kernels()) {
    if (kernel->required & ~cpu_features()) {
      skipped++;
      std::printf("skip %s: the CPU lacks features it needs\n", kernel->name);
      continue;
    }
    int before = failed;
    for (const auto& shape : shapes) {
      for (size_t tokens : batches) {
        for (auto codes : {CodeFill::kRandom, CodeFill::kAllMinus, CodeFill::kAllPlus}) {
          for (auto activations : {ActivationFill::kRandom, ActivationFill::kAllMax, ActivationFill::kAllMin}) {
            if (quick && codes != CodeFill::kRandom && tokens > 2) continue;
            const std::string difference =
                compare_with_scalar(*kernel, {shape.rows, shape.columns, tokens, codes, activations});
            if (difference.empty()) {
              passed++;
            } else {
              failed++;
              std::printf("FAIL %s\n", difference.c_str());
            }
          }
        }
      }
    }
    std::printf("%s %s\n", failed == before ? "ok  " : "FAIL", kernel->name);
  }
  std::printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
  return failed ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) { return run(argc > 1 && !std::strcmp(argv[1], "--quick")); }
