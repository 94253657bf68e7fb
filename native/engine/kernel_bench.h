// Times one kernel on one shape, from cache and from memory, and checks the sums of the very runs that were timed.
#pragma once

#include <atomic>
#include <cstddef>
#include <string>
#include <vector>

#include "engine/matrix_kernel.h"

namespace bitnet {

struct BenchCase {
  size_t batch;
  unsigned threads;
  bool memory;  // a matrix that left the caches each time; else a few rows over and over
};

struct BenchRequest {
  explicit BenchRequest(const MatrixKernel& which) : kernel(which) {}
  MatrixKernel kernel;
  size_t rows = 0, columns = 0;
  std::vector<BenchCase> cases;
  size_t memory_bytes = size_t{256} << 20;  // packed copies that take turns
  size_t cache_bytes = size_t{256} << 10;   // packed rows that stay in a core's cache
  double seconds = 0.05;                    // for each case
  size_t prefetch = 0;                      // bytes ahead; 0: the best of a few for each case from memory
};

struct BenchTime {
  double seconds;        // of one product, activation tables included: the median
  double spent_seconds;  // of all timed products together
  size_t products;       // how many there were
  size_t prefetch;
};

struct BenchOutcome {
  size_t packed_bytes;
  std::vector<BenchTime> times;  // one per case
  std::string difference;        // "" or the first sum that differs from the reference
};

BenchOutcome bench_kernel(const BenchRequest& request, const std::atomic<bool>& cancelled);

struct DotPeakRate {
  const char* isa;
  double macs_per_second;
};
// Of every instruction set that this CPU has, best of a few short runs on `threads` threads at a time.
std::vector<DotPeakRate> measure_dot_peaks(unsigned threads, const std::atomic<bool>& cancelled);

}  // namespace bitnet
