// A handful of counters: the native tests are plain functions that run under any emulator.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "kernels/cpu.h"

struct TestResult {
  int passed = 0, failed = 0, skipped = 0;
  bool times = false;  // whether sections tell what they took
  void check(bool ok, const std::string& what);
  void skip(const std::string& name);
};

// Seconds of CPU time that all threads have taken.
double cpu_seconds();

// A line of the output, on checks that may come a few at a time.
class Section {
 public:
  Section(TestResult& result, std::string name) : result_(&result), name_(std::move(name)) {}
  template <class F>
  void run(F&& checks) {
    const int failed = result_->failed;
    const double start = cpu_seconds();
    checks();
    seconds_ += cpu_seconds() - start;
    failed_ += result_->failed - failed;
  }
  void report() const;

 private:
  TestResult* result_;
  std::string name_;
  double seconds_ = 0;
  int failed_ = 0;
};

// All of a section at once.
template <class F>
void run_section(TestResult& result, const std::string& name, F&& checks) {
  Section section(result, name);
  section.run(checks);
  section.report();
}

// A section for each kernel that this CPU runs; the others are skipped.
template <class Kernel>
std::vector<std::pair<const Kernel*, Section>> kernel_sections(const std::vector<const Kernel*>& kernels, TestResult& result) {
  std::vector<std::pair<const Kernel*, Section>> sections;
  for (const auto* kernel : kernels) {
    if (kernel->required & ~bitnet::cpu_features()) {
      result.skip(kernel->name);
    } else {
      sections.emplace_back(kernel, Section(result, kernel->name));
    }
  }
  return sections;
}

// kQuick: small shapes, for emulators and sanitisers. kSmoke: each kernel, batch tile and path on a few of those, for CPUs that
// run what another was already tested with: an instruction that they lack, or another choice of kernels, would show.
enum class Scope { kSmoke, kQuick, kFull };

void test_kernels(Scope scope, TestResult& result);
void test_float_ops(Scope scope, TestResult& result);
void test_group_kernels(Scope scope, TestResult& result);
void test_thread_pool(Scope scope, TestResult& result);
void test_columns(Scope scope, TestResult& result);
void test_tl_formats(Scope scope, TestResult& result);
void test_contexts(Scope scope, TestResult& result);
void test_mapped_file(TestResult& result);
void test_packed_weights(Scope scope, TestResult& result);
void test_exactness(Scope scope, TestResult& result);
