// Usage: native_tests [--quick | --smoke] [--threads] [--times]
//   --quick: small shapes; --smoke: a few of them (see Scope)
//   --threads: only what uses several threads
//   --times: seconds of CPU time beside each line
#include <cstdio>
#include <cstring>
#include <ctime>

#include "tests/tests.h"

void TestResult::check(bool ok, const std::string& what) {
  if (ok) {
    passed++;
  } else {
    failed++;
    std::printf("FAIL %s\n", what.c_str());
  }
}

void TestResult::skip(const std::string& name) {
  skipped++;
  std::printf("skip %s: the CPU lacks features it needs\n", name.c_str());
}

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

void Section::report() const {
  std::printf("%s %s", failed_ ? "FAIL" : "ok  ", name_.c_str());
  if (result_->times) std::printf(", %.2f s", seconds_);
  std::printf("\n");
  std::fflush(stdout);
}

int main(int argc, char** argv) {
  Scope scope = Scope::kFull;
  bool threads = false;
  TestResult result;
  for (int i = 1; i < argc; i++) {
    if (!std::strcmp(argv[i], "--quick")) scope = Scope::kQuick;
    if (!std::strcmp(argv[i], "--smoke")) scope = Scope::kSmoke;
    threads |= !std::strcmp(argv[i], "--threads");
    result.times |= !std::strcmp(argv[i], "--times");
  }
  if (!threads) {
    test_kernels(scope, result);
    test_float_ops(scope, result);
    test_group_kernels(scope, result);
    test_columns(scope, result);
    test_tl_formats(scope, result);
    run_section(result, "mapped files", [&] { test_mapped_file(result); });
  }
  run_section(result, "thread pools", [&] { test_thread_pool(scope, result); });
  run_section(result, "contexts under stress", [&] { test_contexts(scope, result); });
  run_section(result, "packed weights that move", [&] { test_packed_weights(scope, result); });
  run_section(result, "exactness of whole passes", [&] { test_exactness(scope, result); });
  std::printf("%d passed, %d failed, %d skipped\n", result.passed, result.failed, result.skipped);
  return result.failed ? 1 : 0;
}
