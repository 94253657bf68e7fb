#include "engine/kernel_bench.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>

#include "engine/kernel_workload.h"
#include "error.h"
#include "kernels/dot_peak.h"
#include "kernels/self_test.h"

namespace bitnet {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kDistances[] = {2048, 1024, 4096, 8192};  // the default first
constexpr size_t kFewestSamples = 3, kMostSamples = 20000;
constexpr size_t kSamplesPerDistance = 7;
constexpr size_t kCheckedTokens = 4;  // of a batch, besides the last

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

class KernelBench {
 public:
  KernelBench(const BenchRequest& request, const std::atomic<bool>& cancelled)
      : request_(request), kernel_(request.kernel), cancelled_(cancelled), slab_(kernel_.kind(), request.columns) {}

  BenchOutcome run() {
    outcome_.packed_bytes = kernel_.packed_bytes(request_.rows, request_.columns);
    check_worst_cases();
    unsigned threads = 0;
    for (const auto& c : request_.cases) {
      if (threads != c.threads) {
        threads = c.threads;
        pool_ = std::make_unique<ThreadPool>(threads);
      }
      outcome_.times.push_back(time_case(c));
    }
    return std::move(outcome_);
  }

 private:
  void check() const {
    if (cancelled_) throw Error(kAborted, "The benchmark was aborted.");
  }
  void differs(const std::string& difference) {
    if (outcome_.difference.empty()) outcome_.difference = difference;
  }

  // The inputs that overflow a careless kernel, on this shape's columns and its last rows.
  void check_worst_cases() {
    const size_t rows = std::min(request_.rows, 32 + request_.rows % kRowTile);
    for (const size_t tokens : {size_t{1}, size_t{19}}) {
      if (const GroupKernel* group = kernel_.group()) {
        for (const bool extreme : {false, true}) {
          check();
          differs(compare_with_scalar(*group, {kernel_.kind().shape(rows, request_.columns), tokens, extreme}));
        }
        continue;
      }
      const TernaryKernel& ternary = *kernel_.ternary();
      for (const auto codes : {CodeFill::kAllPlus, CodeFill::kAllMinus}) {
        for (const auto values : {ActivationFill::kAllMax, ActivationFill::kAllMin}) {
          check();
          differs(compare_with_scalar(ternary, {rows, request_.columns, tokens, codes, values}));
        }
      }
      differs(compare_with_scalar(ternary, {rows, request_.columns, tokens, CodeFill::kRandom, ActivationFill::kRandom}));
    }
  }

  double sample(PackedCopies& packed, RandomActivations& x, ProductRunner& runner, size_t prefetch) {
    check();
    return runner.run(kernel_, packed.next(prefetch), x);
  }

  BenchTime time_case(const BenchCase& c) {
    const size_t tile = kernel_.packed_bytes(kRowTile, request_.columns);
    const size_t cached = std::max<size_t>(1, request_.cache_bytes * c.threads / tile) * kRowTile;
    size_t rows = c.memory ? request_.rows : std::min(request_.rows, std::max(cached, kRowTile * c.threads));
    RandomActivations x(request_.columns, c.batch);
    ProductRunner runner(*pool_, rows, c.batch);

    // A slow kernel on a large batch: time some of the rows, which all cost the same, rather than take minutes.
    const size_t probe_rows = std::min(rows, kRowTile * c.threads);
    {
      AlignedBuffer<uint8_t> memory(PackedCopies::bytes(kernel_, probe_rows, request_.columns, 1));
      PackedCopies probe(kernel_, slab_, probe_rows, 1, memory.data(), *pool_);
      sample(probe, x, runner, kDistances[0]);
      const double row_seconds = sample(probe, x, runner, kDistances[0]) / static_cast<double>(probe_rows);
      const double longest = request_.seconds * 4 / kFewestSamples;
      if (row_seconds * static_cast<double>(rows) > longest) {
        const auto fitting = static_cast<size_t>(longest / row_seconds) / kRowTile * kRowTile;
        rows = std::min(rows, std::max(fitting, probe_rows));
      }
    }
    PackedCopies& packed = c.memory ? pack(from_memory_, rows, copies(rows)) : pack(from_cache_, rows, 1);

    BenchTime result{};
    result.prefetch = request_.prefetch ? request_.prefetch : kDistances[0];
    if (c.memory && !request_.prefetch && c.batch <= 16) result.prefetch = best_distance(packed, x, runner);
    std::vector<double> samples;
    const auto start = Clock::now();
    while (samples.size() < kMostSamples &&
           (samples.size() < kFewestSamples || seconds_since(start) < request_.seconds)) {
      samples.push_back(sample(packed, x, runner, result.prefetch));
    }
    const double scale = static_cast<double>(request_.rows) / static_cast<double>(rows);
    result.seconds = median(samples) * scale;
    for (const double s : samples) result.spent_seconds += s;
    result.products = samples.size();
    check_output(x, runner, rows);
    return result;
  }

  size_t copies(size_t rows) const {
    return std::max<size_t>(1, request_.memory_bytes / kernel_.packed_bytes(rows, request_.columns));
  }

  // What cases of the same rows share: filling a large region takes longer than timing it.
  struct Packed {
    AlignedBuffer<uint8_t> memory;
    std::unique_ptr<PackedCopies> copies;
  };

  PackedCopies& pack(Packed& packed, size_t rows, size_t count) {
    if (!packed.copies || packed.copies->rows() != rows) {
      check();
      const size_t bytes = PackedCopies::bytes(kernel_, rows, request_.columns, count);
      if (packed.memory.bytes() < bytes) {
        packed.memory = AlignedBuffer<uint8_t>();  // first the old one goes, so that there are never two
        packed.memory = AlignedBuffer<uint8_t>(bytes);
      }
      packed.copies = std::make_unique<PackedCopies>(kernel_, slab_, rows, count, packed.memory.data(), *pool_);
    }
    return *packed.copies;
  }

  size_t best_distance(PackedCopies& packed, RandomActivations& x, ProductRunner& runner) {
    constexpr size_t kCount = sizeof(kDistances) / sizeof(*kDistances);
    std::vector<double> times[kCount];
    for (size_t round = 0; round < kSamplesPerDistance; round++) {
      for (size_t d = 0; d < kCount; d++) times[d].push_back(sample(packed, x, runner, kDistances[d]));
    }
    size_t best = 0;
    for (size_t d = 1; d < kCount; d++) {
      if (median(times[d]) < median(times[best]) * 0.97) best = d;
    }
    return kDistances[best];
  }

  // What the last timed product gave: a few tokens, every row. Rows repeat with the slab's, so the reference is short.
  void check_output(const RandomActivations& x, const ProductRunner& runner, size_t rows) {
    const size_t stride = round_up(rows, kRowTile);
    std::vector<uint32_t> expected(std::min(rows, CodeSlab::kRows));
    for (size_t i = 0; i <= kCheckedTokens; i++) {
      check();
      const size_t t = i == kCheckedTokens ? x.tokens() - 1 : i * x.tokens() / kCheckedTokens;
      for (size_t r = 0; r < expected.size(); r++) expected[r] = slab_.expected(r, x.row(t), x.scales()[t]);
      for (size_t r = 0; r < rows; r++) {
        const uint32_t got = runner.output()[t * stride + r], right = expected[r % CodeSlab::kRows];
        if (got == right) continue;
        differs(std::string(kernel_.name()) + ": " + std::to_string(rows) + "x" + std::to_string(request_.columns) + ", token " +
                std::to_string(t) + ", row " + std::to_string(r) + ": " + text(got) + " instead of " + text(right));
        return;
      }
    }
  }

  std::string text(uint32_t bits) const {
    if (kernel_.ternary()) return std::to_string(static_cast<int32_t>(bits));
    float value;
    std::memcpy(&value, &bits, 4);
    return std::to_string(value);
  }

  const BenchRequest& request_;
  const MatrixKernel& kernel_;
  const std::atomic<bool>& cancelled_;
  CodeSlab slab_;
  std::unique_ptr<ThreadPool> pool_;
  Packed from_memory_, from_cache_;
  BenchOutcome outcome_{};
};

}  // namespace

BenchOutcome bench_kernel(const BenchRequest& request, const std::atomic<bool>& cancelled) {
  return KernelBench(request, cancelled).run();
}

std::vector<DotPeakRate> measure_dot_peaks(unsigned threads, const std::atomic<bool>& cancelled) {
  constexpr size_t kRounds = 20000;  // about 100 us
  constexpr int kRuns = 60;
  ThreadPool pool(threads);
  std::vector<DotPeakRate> rates;
  std::atomic<int32_t> sink{0};
  for (const auto* peak : all_dot_peaks()) {
    if (peak->required & ~cpu_features()) continue;
    double best = 0;
    for (int run = 0; run < kRuns; run++) {
      if (cancelled) throw Error(kAborted, "The benchmark was aborted.");
      const auto start = Clock::now();
      pool.parallel(4 * threads, [&](size_t chunk, unsigned) { sink += peak->run(kRounds, static_cast<int32_t>(chunk)); });
      best = std::max(best, static_cast<double>(peak->macs * kRounds * 4 * threads) / seconds_since(start));
    }
    rates.push_back({peak->isa, best});
  }
  return rates;
}

}  // namespace bitnet
