// Usage: native_tests [--quick] [--threads]   --threads: only what uses several threads
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
  bool quick = false, threads = false;
  for (int i = 1; i < argc; i++) {
    quick |= !std::strcmp(argv[i], "--quick");
    threads |= !std::strcmp(argv[i], "--threads");
  }
  TestResult result;
  if (!threads) {
    test_kernels(quick, result);
    test_float_ops(quick, result);
    test_group_kernels(quick, result);
    test_columns(quick, result);
    test_tl_formats(quick, result);
    test_mapped_file(result);
  }
  test_thread_pool(quick, result);
  test_contexts(quick, result);
  test_packed_weights(quick, result);
  test_exactness(quick, result);
  std::printf("%d passed, %d failed, %d skipped\n", result.passed, result.failed, result.skipped);
  return result.failed ? 1 : 0;
}
