// A handful of counters: the native tests are plain functions that run under any emulator.
#pragma once

#include <string>

struct TestResult {
  int passed = 0, failed = 0, skipped = 0;
  void check(bool ok, const std::string& what);
};

// `quick` keeps to small shapes, for emulators and sanitisers.
void test_kernels(bool quick, TestResult& result);
void test_float_ops(bool quick, TestResult& result);
void test_group_kernels(bool quick, TestResult& result);
void test_thread_pool(bool quick, TestResult& result);
void test_columns(bool quick, TestResult& result);
void test_tl_formats(bool quick, TestResult& result);
void test_contexts(bool quick, TestResult& result);
void test_mapped_file(TestResult& result);
void test_packed_weights(bool quick, TestResult& result);
void test_exactness(bool quick, TestResult& result);
