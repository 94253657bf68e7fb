#include "engine/tuner.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <memory>

#include "engine/bandwidth.h"
#include "engine/kernel_workload.h"
#include "error.h"

namespace bitnet {
namespace {

constexpr size_t kDistances[] = {1024, 2048, 4096, 8192};
constexpr size_t kDefaultDistance = 2048;
constexpr double kTie = 1.03;
constexpr size_t kMostFinalists = 3;
// Kernels this much slower than the default in the first look are not looked at again. The first look sees short products
// only, so it must leave room.
constexpr double kHopeless = 1.3;
// Tokens of a prefill batch: enough for the blocking that long prompts get.
constexpr size_t kPrefillTokens = 128;
constexpr size_t kPrefillRows = 64;  // per thread
constexpr size_t kFewestRounds = 3, kMostRounds = 25;
constexpr size_t kLookBytes = size_t{1} << 20;  // packed weights of the first look, per thread

using Clock = std::chrono::steady_clock;

// A part of a shape's rows stands for all of them where the whole would not fit the region.
struct Slice {
  TuneShape shape;
  size_t rows;
  double matrices() const {
    return static_cast<double>(shape.count) * static_cast<double>(shape.rows) / static_cast<double>(rows);
  }
};

double weights_of(const TuneShape& s) {
  return static_cast<double>(s.rows) * static_cast<double>(s.columns) * static_cast<double>(s.count);
}

class Tuner {
 public:
  Tuner(const TuneRequest& request, const std::atomic<bool>& cancelled, const std::function<void(double)>& on_progress)
      : request_(request), cancelled_(cancelled), on_progress_(on_progress), start_(Clock::now()), pool_(request.threads) {
    merge_shapes();
    choose_candidates();
  }

  TuneResult run() {
    first_look();
    progress(0.15);
    time_decode();
    time_prefill();
    progress(1);
    return choose();
  }

 private:
  struct Candidate {
    const TernaryKernel* ternary;
    const GroupKernel* group;
    size_t rank;  // in the registry
    double look_decode = 0, look_prefill = 0;  // seconds per weight
    TuneMeasurement result{};
    double score() const { return result.decode_seconds + result.prefill_seconds; }
    const char* name() const { return ternary ? ternary->name : group->name; }
    MatrixKernel at(const TuneShape& s) const {
      if (ternary) return MatrixKernel(*ternary);
      const KernelSelection selection{nullptr, group->family, group->isa};
      return MatrixKernel(group_kernel_for(selection, s.kind.shape(s.rows, s.columns)), s.kind);
    }
  };

  void check() const {
    if (cancelled_) throw Error(kAborted, "Tuning was aborted.");
  }
  double elapsed() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
  void progress(double share) const {
    if (on_progress_) on_progress_(share);
  }

  void merge_shapes() {
    for (const auto& s : request_.shapes) {
      if (!s.rows || !s.columns || !s.count || s.columns > kMaxColumns || s.rows > (size_t{1} << 24)) {
        throw Error(kInvalidArgument, "tune: a shape must have 1 to 16777216 rows, 1 to 262144 columns and a count.");
      }
      const auto same = std::find_if(shapes_.begin(), shapes_.end(), [&](const TuneShape& other) {
        return other.rows == s.rows && other.columns == s.columns && other.kind == s.kind;
      });
      if (same == shapes_.end()) {
        shapes_.push_back(s);
      } else {
        same->count += s.count;
      }
    }
    for (const auto& s : shapes_) {
      if (s.kind.ternary() != shapes_.front().kind.ternary()) {
        throw Error(kInvalidArgument, "tune: shapes must be ternary or have a scale per group, all of them.");
      }
    }
    if (shapes_.empty()) throw Error(kInvalidArgument, "tune: shapes must not be empty.");
    std::sort(shapes_.begin(), shapes_.end(), [](const auto& a, const auto& b) { return weights_of(a) > weights_of(b); });
    // More kinds than any architecture has would make the regions of each too small.
    if (shapes_.size() > 8) shapes_.resize(8);
  }

  void choose_candidates() {
    const bool ternary = shapes_.front().kind.ternary();
    const auto& names = request_.kernels;
    for (const auto& name : names) {  // throws for what there is not, and for what has no use here
      MatrixKernel::find(name, shapes_.front().kind, shapes_.front().columns);
    }
    auto taken = [&](const auto& kernel) {
      if (!names.empty()) return std::find(names.begin(), names.end(), kernel.name) != names.end();
      return !(kernel.required & ~cpu_features()) && std::strcmp(kernel.isa, "scalar") != 0;
    };
    if (ternary) {
      for (const auto* kernel : all_kernels()) {
        if (taken(*kernel)) candidates_.push_back({kernel, nullptr, candidates_.size()});
      }
      if (candidates_.empty()) candidates_.push_back({&select_kernel("auto"), nullptr, 0});
    } else {
      for (const auto* kernel : all_group_kernels()) {
        if (taken(*kernel)) candidates_.push_back({nullptr, kernel, candidates_.size()});
      }
      if (candidates_.empty()) candidates_.push_back({nullptr, &kScalarGroup, 0});
    }
    for (auto& c : candidates_) c.result = {c.name(), kDefaultDistance, 0, 0};
  }

  // Times every candidate on a small slice of the most common shape and keeps those that may win.
  void first_look() {
    if (candidates_.size() == 1) return;
    const TuneShape& shape = shapes_.front();
    const size_t per_row = candidates_.front().at(shape).packed_bytes(kRowTile, shape.columns) / kRowTile + 1;
    const size_t rows = std::min(
        shape.rows, round_up(std::max<size_t>(kRowTile, kLookBytes * pool_.threads() / per_row), kRowTile));
    const size_t prefill_rows = std::min(rows, kPrefillRows * pool_.threads());
    CodeSlab slab(shape.kind, shape.columns);
    RandomActivations one(shape.columns, 1), many(shape.columns, kPrefillTokens / 4);
    ProductRunner runner(pool_, rows, many.tokens());
    std::vector<AlignedBuffer<uint8_t>> memory;
    std::vector<PackedCopies> packed;
    for (const auto& c : candidates_) {
      check();
      const MatrixKernel kernel = c.at(shape);
      memory.emplace_back(PackedCopies::bytes(kernel, rows, shape.columns, 1));
      packed.emplace_back(kernel, slab, rows, 1, memory.back().data(), pool_);
    }
    std::vector<std::vector<double>> decode(candidates_.size()), prefill(candidates_.size());
    for (size_t round = 0; round < kFewestRounds; round++) {
      for (size_t i = 0; i < candidates_.size(); i++) {
        check();
        const MatrixKernel& kernel = packed[i].kernel();
        decode[i].push_back(runner.run(kernel, packed[i].next(kDefaultDistance), one));
        PackedMatrix part = packed[i].next(kDefaultDistance);
        part.rows = prefill_rows;
        prefill[i].push_back(runner.run(kernel, part, many));
      }
      if (elapsed() > request_.seconds * 0.4) break;
    }
    for (size_t i = 0; i < candidates_.size(); i++) {
      candidates_[i].look_decode = *std::min_element(decode[i].begin(), decode[i].end()) /
                                   static_cast<double>(rows * shape.columns);
      candidates_[i].look_prefill = *std::min_element(prefill[i].begin(), prefill[i].end()) /
                                    static_cast<double>(prefill_rows * shape.columns * many.tokens());
    }
    // From memory a token takes at least the time to read the packed weights: a kernel that decodes them slowly but packs
    // them tightly may well win.
    const double bandwidth = read_bandwidth(std::min<size_t>(request_.memory_bytes, size_t{64} << 20), pool_, 2);
    auto look = [&](const Candidate& c) {
      const double bytes = static_cast<double>(c.at(shape).packed_bytes(rows, shape.columns)) /
                           static_cast<double>(rows * shape.columns);
      return std::max(c.look_decode, bytes / bandwidth) + c.look_prefill;
    };
    // The default stays in whatever it looks like: it is what the others are compared with.
    std::stable_sort(candidates_.begin() + 1, candidates_.end(),
                     [&](const Candidate& a, const Candidate& b) { return look(a) < look(b); });
    double best = look(candidates_.front());
    for (const auto& c : candidates_) best = std::min(best, look(c));
    for (size_t i = 1; i < candidates_.size();) {
      const bool keep = i < kMostFinalists && look(candidates_[i]) <= best * kHopeless;
      if (keep) {
        i++;
      } else {
        ruled_out_.push_back(candidates_[i]);
        candidates_.erase(candidates_.begin() + static_cast<std::ptrdiff_t>(i));
      }
    }
  }

  // One kernel's matrices of all shapes, one after another in a region, as a token meets them.
  struct Region {
    AlignedBuffer<uint8_t> memory;
    std::vector<PackedCopies> shapes;
  };

  std::vector<Slice> slices(size_t region_bytes) const {
    std::vector<Slice> out;
    for (const auto& shape : shapes_) {
      const size_t row = candidates_.front().at(shape).packed_bytes(kRowTile, shape.columns) / kRowTile + 64;
      const size_t fitting = region_bytes / shapes_.size() / row / kRowTile * kRowTile;
      out.push_back({shape, std::min(shape.rows, std::max(fitting, kRowTile))});
    }
    return out;
  }

  Region pack(const Candidate& c, const std::vector<Slice>& parts, const std::vector<CodeSlab>& slabs,
              size_t region_bytes) {
    size_t set = 0;
    for (const auto& part : parts) set += PackedCopies::bytes(c.at(part.shape), part.rows, part.shape.columns, 1);
    const size_t copies = std::max<size_t>(1, region_bytes / set);
    Region region{AlignedBuffer<uint8_t>(set * copies), {}};
    uint8_t* memory = region.memory.data();
    for (size_t i = 0; i < parts.size(); i++) {
      check();
      const MatrixKernel kernel = c.at(parts[i].shape);
      region.shapes.emplace_back(kernel, slabs[i], parts[i].rows, copies, memory, pool_);
      memory += PackedCopies::bytes(kernel, parts[i].rows, parts[i].shape.columns, copies);
    }
    return region;
  }

  // Seconds of all matrices for one token: a few sets of the region's matrices, scaled to the model's counts.
  double decode_pass(size_t prefetch, const std::vector<Slice>& parts, Region& region,
                     std::vector<RandomActivations>& x, ProductRunner& runner, size_t sets) {
    double total = 0;
    for (size_t set = 0; set < sets; set++) {
      check();
      for (size_t i = 0; i < parts.size(); i++) {
        total += parts[i].matrices() * runner.run(region.shapes[i].kernel(), region.shapes[i].next(prefetch), x[i]);
      }
    }
    return total / static_cast<double>(sets);
  }

  void time_decode() {
    const size_t region_bytes = request_.memory_bytes / std::max<size_t>(candidates_.size(), kMostFinalists);
    const std::vector<Slice> parts = slices(region_bytes);
    std::vector<CodeSlab> slabs;
    std::vector<RandomActivations> x;
    size_t most_rows = 0;
    for (const auto& part : parts) {
      slabs.emplace_back(part.shape.kind, part.shape.columns);
      x.emplace_back(part.shape.columns, 1);
      most_rows = std::max(most_rows, part.rows);
    }
    ProductRunner runner(pool_, most_rows, 1);
    std::vector<Region> regions;
    for (const auto& c : candidates_) regions.push_back(pack(c, parts, slabs, region_bytes));

    // Every (kernel, distance) once a round, so that all see the same states of a busy machine. What one pass reads, the
    // passes of the others have driven out of the caches before its turn comes again.
    constexpr size_t kCount = sizeof(kDistances) / sizeof(*kDistances);
    std::vector<std::vector<double>> times(candidates_.size() * kCount);
    for (size_t round = 0; round < kMostRounds; round++) {
      for (size_t d = 0; d < kCount; d++) {
        for (size_t i = 0; i < candidates_.size(); i++) {
          times[i * kCount + d].push_back(
              decode_pass(kDistances[d], parts, regions[i], x, runner, 2));
        }
      }
      progress(0.15 + 0.65 * static_cast<double>(round + 1) / kMostRounds);
      if (round + 1 >= kFewestRounds && elapsed() > request_.seconds * 0.8) break;
    }
    // Ratios within a round to the default at the default distance: what disturbs a round disturbs both.
    const auto* usual = std::find(std::begin(kDistances), std::end(kDistances), kDefaultDistance);
    const auto& reference = times[static_cast<size_t>(usual - kDistances)];
    const double reference_seconds = median(reference);
    for (size_t i = 0; i < candidates_.size(); i++) {
      double seconds[kCount];
      for (size_t d = 0; d < kCount; d++) {
        std::vector<double> ratios;
        for (size_t r = 0; r < reference.size(); r++) ratios.push_back(times[i * kCount + d][r] / reference[r]);
        seconds[d] = median(ratios) * reference_seconds;
      }
      const size_t best = static_cast<size_t>(std::min_element(seconds, seconds + kCount) - seconds);
      size_t chosen = best;
      for (size_t d = 0; d < kCount; d++) {
        if (kDistances[d] == kDefaultDistance && seconds[d] <= seconds[best] * kTie) chosen = d;
      }
      candidates_[i].result = {candidates_[i].name(), kDistances[chosen], seconds[chosen], 0};
    }
  }

  // Prefill computes more than it reads: a few panels of the most common shape stand for all.
  void time_prefill() {
    const TuneShape& shape = shapes_.front();
    const size_t rows = std::min(shape.rows, kPrefillRows * pool_.threads());
    CodeSlab slab(shape.kind, shape.columns);
    RandomActivations x(shape.columns, kPrefillTokens);
    ProductRunner runner(pool_, rows, kPrefillTokens);
    std::vector<AlignedBuffer<uint8_t>> memory;
    std::vector<PackedCopies> packed;
    for (const auto& c : candidates_) {
      const MatrixKernel kernel = c.at(shape);
      memory.emplace_back(PackedCopies::bytes(kernel, rows, shape.columns, 1));
      packed.emplace_back(kernel, slab, rows, 1, memory.back().data(), pool_);
    }
    std::vector<std::vector<double>> times(candidates_.size());
    for (size_t round = 0; round < kMostRounds; round++) {
      for (size_t i = 0; i < candidates_.size(); i++) {
        check();
        times[i].push_back(runner.run(packed[i].kernel(), packed[i].next(candidates_[i].result.prefetch), x));
      }
      if (round + 1 >= kFewestRounds && elapsed() > request_.seconds) break;
    }
    double weights = 0;
    for (const auto& s : shapes_) weights += weights_of(s);
    const double per_pass = static_cast<double>(rows * shape.columns * kPrefillTokens);
    const double reference = median(times.front());
    for (size_t i = 0; i < candidates_.size(); i++) {
      std::vector<double> ratios;
      for (size_t r = 0; r < times[i].size(); r++) ratios.push_back(times[i][r] / times.front()[r]);
      candidates_[i].result.prefill_seconds = median(ratios) * reference * weights / per_pass;
    }
  }

  TuneResult choose() const {
    double best = candidates_.front().score();
    for (const auto& c : candidates_) best = std::min(best, c.score());
    // The first stays, where times tell nothing: a clock that stood still makes a score no number.
    const Candidate* chosen = &candidates_.front();
    auto good = [&](const Candidate& c) { return c.score() <= best * kTie; };
    TuneResult result{};
    for (const auto& c : candidates_) {
      if (good(c) && (!good(*chosen) || c.rank < chosen->rank)) chosen = &c;
      result.measurements.push_back(c.result);
    }
    for (const auto& c : ruled_out_) result.measurements.push_back(c.result);
    result.kernel = chosen->name();
    result.prefetch = chosen->result.prefetch;
    return result;
  }

  const TuneRequest& request_;
  const std::atomic<bool>& cancelled_;
  const std::function<void(double)>& on_progress_;
  const Clock::time_point start_;
  ThreadPool pool_;
  std::vector<TuneShape> shapes_;
  std::vector<Candidate> candidates_, ruled_out_;
};

}  // namespace

TuneResult tune(const TuneRequest& request, const std::atomic<bool>& cancelled,
                const std::function<void(double share)>& on_progress) {
  return Tuner(request, cancelled, on_progress).run();
}

}  // namespace bitnet
