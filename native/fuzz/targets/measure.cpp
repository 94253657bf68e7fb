// What times kernels on shapes, batches, threads and sizes that a caller chose: the addon's tune() and benchKernel().
#include "engine/kernel_bench.h"
#include "engine/tuner.h"
#include "error.h"
#include "fuzz/fuzz.h"

using namespace bitnet;

namespace {

WeightKind kind(FuzzedDataProvider& in) {
  WeightKind out;
  if (in.ConsumeBool()) return out;
  const int widths[] = {1, 2, 3, 4, 8};
  out.group = kGroupStep * in.ConsumeIntegralInRange<size_t>(1, 40);
  out.bits = in.PickValueInArray(widths);
  out.zero_points = in.ConsumeBool();
  return out;
}

template <class Kernels>
std::string any_name(FuzzedDataProvider& in, const Kernels& kernels) {
  return kernels[in.ConsumeIntegral<uint8_t>() % kernels.size()]->name;
}

void tune_some(FuzzedDataProvider& in, const std::atomic<bool>& cancelled) {
  TuneRequest request;
  for (int i = in.ConsumeIntegralInRange<int>(0, 3); i > 0; i--) {
    request.shapes.push_back({in.ConsumeIntegralInRange<size_t>(0, 400), in.ConsumeIntegralInRange<size_t>(0, 700),
                              in.ConsumeIntegralInRange<size_t>(0, 40), kind(in)});
  }
  request.threads = in.ConsumeIntegralInRange<unsigned>(1, 3);
  for (int i = in.ConsumeIntegralInRange<int>(0, 3); i > 0; i--) {
    request.kernels.push_back(in.ConsumeBool() ? any_name(in, all_kernels()) : any_name(in, all_group_kernels()));
  }
  request.memory_bytes = in.ConsumeIntegralInRange<size_t>(1 << 10, 1 << 20);
  request.seconds = 0.001;
  tune(request, cancelled, nullptr);
}

void bench(FuzzedDataProvider& in, const std::atomic<bool>& cancelled) {
  const WeightKind weights = kind(in);
  const std::string name = weights.ternary() ? any_name(in, all_kernels()) : any_name(in, all_group_kernels());
  const size_t columns = in.ConsumeIntegralInRange<size_t>(1, 1500);
  BenchRequest request(MatrixKernel::find(name, weights, columns));
  request.rows = in.ConsumeIntegralInRange<size_t>(1, 500);
  request.columns = columns;
  for (int i = in.ConsumeIntegralInRange<int>(0, 3); i > 0; i--) {
    request.cases.push_back({in.ConsumeIntegralInRange<size_t>(1, 40), in.ConsumeIntegralInRange<unsigned>(1, 3), in.ConsumeBool()});
  }
  request.memory_bytes = in.ConsumeIntegralInRange<size_t>(1, 1 << 18);
  request.cache_bytes = in.ConsumeIntegralInRange<size_t>(1, 1 << 16);
  request.prefetch = in.ConsumeIntegralInRange<size_t>(0, 1 << 20);
  request.seconds = 0.0001;
  const BenchOutcome outcome = bench_kernel(request, cancelled);
  if (!outcome.difference.empty()) std::fprintf(stderr, "%s\n", outcome.difference.c_str());
  REQUIRE(outcome.difference.empty() && outcome.times.size() == request.cases.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedDataProvider in(data, size);
  const std::atomic<bool> cancelled{in.ConsumeIntegralInRange<int>(0, 31) == 0};
  try {
    if (in.ConsumeBool()) {
      tune_some(in, cancelled);
    } else {
      bench(in, cancelled);
    }
  } catch (const Error&) {
  }
  return 0;
}
