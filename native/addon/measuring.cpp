#include "addon/measuring.h"

#include "addon/arguments.h"
#include "addon/background_task.h"
#include "addon/errors.h"
#include "engine/kernel_bench.h"
#include "engine/tuner.h"

namespace bitnet::addon {
namespace {

constexpr uint64_t kMostRows = uint64_t{1} << 24;
constexpr uint64_t kMostBytes = uint64_t{1} << 36;
constexpr uint64_t kLongestMilliseconds = 60000;
constexpr uint64_t kLongestPrefetch = uint64_t{1} << 20;

Napi::Array as_array(Napi::Value v, const std::string& name, uint32_t most) {
  if (!v.IsArray()) wrong(name, "an array");
  const auto array = v.As<Napi::Array>();
  if (array.Length() > most) throw Error(kInvalidArgument, name + " must have at most " + std::to_string(most) + " items.");
  return array;
}

uint64_t integer_or(const Napi::Object& o, const char* name, uint64_t low, uint64_t high, uint64_t otherwise) {
  return present(o, name) ? as_integer(o.Get(name), name, low, high) : otherwise;
}

// undefined too counts as no threads: refused.
unsigned threads_of(const Napi::Object& o) { return static_cast<unsigned>(as_integer(o.Get("threads"), "threads", 1, 256)); }

// { group, bits, zeroPoints }, or absent for ternary weights.
WeightKind kind_of(const Napi::Object& o, const std::string& name) {
  if (!present(o, "scales")) return {};
  const Napi::Object scales = as_object(o.Get("scales"), name);
  WeightKind kind;
  kind.group = as_integer(scales.Get("group"), name + ".group", kGroupStep, round_up(kMaxColumns, kGroupStep));
  kind.bits = static_cast<int>(as_integer(scales.Get("bits"), name + ".bits", 1, 8));
  kind.zero_points = present(scales, "zeroPoints") && scales.Get("zeroPoints").ToBoolean();
  if (!kScalarGroup.supports(kind.shape(1, kGroupStep))) wrong(name, "bits of 1, 2, 3, 4 or 8 and a group in steps of 16");
  return kind;
}

TuneRequest read_tune_request(const Napi::Object& o) {
  TuneRequest request;
  const Napi::Array shapes = as_array(o.Get("shapes"), "shapes", 4096);
  for (uint32_t i = 0; i < shapes.Length(); i++) {
    const std::string name = "shapes[" + std::to_string(i) + "]";
    const Napi::Object shape = as_object(shapes.Get(i), name);
    request.shapes.push_back({as_integer(shape.Get("rows"), name + ".rows", 1, kMostRows),
                              as_integer(shape.Get("columns"), name + ".columns", 1, kMaxColumns),
                              as_integer(shape.Get("count"), name + ".count", 1, 1 << 20),
                              kind_of(shape, name + ".scales")});
  }
  request.threads = threads_of(o);
  if (present(o, "kernels")) {
    const Napi::Array names = as_array(o.Get("kernels"), "kernels", 256);
    for (uint32_t i = 0; i < names.Length(); i++) request.kernels.push_back(as_string(names.Get(i), "kernels"));
  }
  request.memory_bytes = integer_or(o, "memoryBytes", 1 << 10, kMostBytes, request.memory_bytes);
  request.seconds = static_cast<double>(integer_or(o, "milliseconds", 1, kLongestMilliseconds, 1500)) / 1000;
  return request;
}

Napi::Value to_js(Napi::Env env, const TuneResult& result) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("kernel", result.kernel);
  out.Set("prefetch", static_cast<double>(result.prefetch));
  Napi::Array measurements = Napi::Array::New(env, result.measurements.size());
  for (uint32_t i = 0; i < result.measurements.size(); i++) {
    const TuneMeasurement& m = result.measurements[i];
    Napi::Object one = Napi::Object::New(env);
    one.Set("kernel", m.kernel);
    one.Set("prefetch", static_cast<double>(m.prefetch));
    if (m.decode_seconds > 0) {
      one.Set("decodeMicroseconds", m.decode_seconds * 1e6);
      one.Set("prefillMicroseconds", m.prefill_seconds * 1e6);
    }
    measurements.Set(i, one);
  }
  out.Set("measurements", measurements);
  return out;
}

BenchRequest read_bench_request(const Napi::Object& o) {
  const std::string name = as_string(o.Get("kernel"), "kernel");
  const size_t rows = as_integer(o.Get("rows"), "rows", 1, kMostRows);
  const size_t columns = as_integer(o.Get("columns"), "columns", 1, kMaxColumns);
  BenchRequest request(MatrixKernel::find(name, kind_of(o, "scales"), columns));
  request.rows = rows;
  request.columns = columns;
  const Napi::Array cases = as_array(o.Get("cases"), "cases", 1024);
  for (uint32_t i = 0; i < cases.Length(); i++) {
    const std::string name = "cases[" + std::to_string(i) + "]";
    const Napi::Object c = as_object(cases.Get(i), name);
    const std::string source = as_string(c.Get("source"), name + ".source");
    if (source != "memory" && source != "cache") wrong(name + ".source", "\"memory\" or \"cache\"");
    request.cases.push_back({as_integer(c.Get("batch"), name + ".batch", 1, 4096), threads_of(c), source == "memory"});
  }
  request.memory_bytes = integer_or(o, "memoryBytes", 1, kMostBytes, request.memory_bytes);
  request.cache_bytes = integer_or(o, "cacheBytes", 1, kMostBytes, request.cache_bytes);
  request.prefetch = integer_or(o, "prefetch", 0, kLongestPrefetch, 0);
  request.seconds = static_cast<double>(integer_or(o, "milliseconds", 1, kLongestMilliseconds, 50)) / 1000;
  return request;
}

Napi::Value to_js(Napi::Env env, const BenchOutcome& outcome) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("packedBytes", static_cast<double>(outcome.packed_bytes));
  out.Set("exact", outcome.difference.empty());
  if (!outcome.difference.empty()) out.Set("difference", outcome.difference);
  Napi::Array times = Napi::Array::New(env, outcome.times.size());
  for (uint32_t i = 0; i < outcome.times.size(); i++) {
    const BenchTime& t = outcome.times[i];
    Napi::Object one = Napi::Object::New(env);
    one.Set("microseconds", t.seconds * 1e6);
    one.Set("spentMicroseconds", t.spent_seconds * 1e6);
    one.Set("products", static_cast<double>(t.products));
    one.Set("prefetch", static_cast<double>(t.prefetch));
    times.Set(i, one);
  }
  out.Set("times", times);
  return out;
}

}  // namespace

Napi::Value tune_kernels(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Napi::Object o = as_object(info[0], "request");
    Napi::Function on_progress;
    if (present(o, "onProgress")) {
      if (!o.Get("onProgress").IsFunction()) wrong("onProgress", "a function");
      on_progress = o.Get("onProgress").As<Napi::Function>();
    }
    const bool reports = !on_progress.IsEmpty();
    return BackgroundTask::handle(info.Env(), BackgroundTask::start(
                                  info.Env(), "bitnet tune",
                                  [request = read_tune_request(o), reports](BackgroundTask& self) {
                                    const TuneResult result = tune(request, self.cancelled(), [&](double share) {
                                      if (reports) self.progress(share);
                                    });
                                    return [result](Napi::Env env) { return to_js(env, result); };
                                  },
                                  on_progress));
  });
}

Napi::Value bench_kernel_task(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return BackgroundTask::handle(info.Env(),
                  BackgroundTask::start(info.Env(), "bitnet bench kernel",
                                        [request = read_bench_request(as_object(info[0], "request"))](BackgroundTask& self) {
                                          const BenchOutcome outcome = bench_kernel(request, self.cancelled());
                                          return [outcome](Napi::Env env) { return to_js(env, outcome); };
                                        }));
  });
}

Napi::Value probe_dot_products(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto threads = static_cast<unsigned>(as_integer(info[0], "threads", 1, 256));
    return BackgroundTask::handle(info.Env(), BackgroundTask::start(info.Env(), "bitnet dot products", [threads](BackgroundTask& self) {
                    const auto rates = measure_dot_peaks(threads, self.cancelled());
                    return [rates, threads](Napi::Env env) -> Napi::Value {
                      Napi::Array out = Napi::Array::New(env, rates.size());
                      for (uint32_t i = 0; i < rates.size(); i++) {
                        Napi::Object one = Napi::Object::New(env);
                        one.Set("isa", rates[i].isa);
                        one.Set("threads", threads);
                        one.Set("gigamacsPerSecond", rates[i].macs_per_second / 1e9);
                        out.Set(i, one);
                      }
                      return out;
                    };
                  }));
  });
}

}  // namespace bitnet::addon
