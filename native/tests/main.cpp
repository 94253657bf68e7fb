// Usage: native_tests [--quick]
#include "tests/tests.h"

#include <cstdio>
#include <cstring>

void TestResult::check(bool ok, const std::string& what) {
  if (ok) {
    passed++;
  } else {
    failed++;
    std::printf("FAIL %s\n", what.c_str());
  }
}

int main(int argc, char** argv) {
  const bool quick = argc > 1 && !std::strcmp(argv[1], "--quick");
  TestResult result;
  test_kernels(quick, result);
  test_float_ops(quick, result);
  test_group_kernels(quick, result);
  test_thread_pool(quick, result);
  test_columns(quick, result);
  std::printf("%d passed, %d failed, %d skipped\n", result.passed, result.failed, result.skipped);
  return result.failed ? 1 : 0;
}
