#include "addon/system.h"

#include <fstream>

#include "addon/arguments.h"
#include "addon/background_task.h"
#include "addon/errors.h"
#include "engine/bandwidth.h"
#include "formats/format.h"
#include "kernels/group_kernel.h"

#if !defined(_WIN32)
#include <sys/resource.h>
#endif

namespace bitnet::addon {
namespace {

Napi::Array to_js(Napi::Env env, const std::vector<std::string>& strings) {
  Napi::Array out = Napi::Array::New(env, strings.size());
  for (uint32_t i = 0; i < strings.size(); i++) out.Set(i, strings[i]);
  return out;
}

double peak_resident_bytes() {
#if defined(__linux__)
  // VmHWM rather than getrusage: it can be reset, and doesn't include what a parent had before exec.
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::stod(line.substr(6)) * 1024;
  }
#endif
#if defined(_WIN32)
  return 0;
#else
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
#if defined(__APPLE__)
  return static_cast<double>(usage.ru_maxrss);
#else
  return static_cast<double>(usage.ru_maxrss) * 1024;
#endif
#endif
}

}  // namespace

Napi::Value cpu(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Object out = Napi::Object::New(env);
  out.Set("arch", cpu_arch());
  out.Set("model", cpu_model());
  out.Set("features", to_js(env, feature_names(cpu_features())));
  out.Set("usableCpus", usable_cpus());
  out.Set("physicalCores", physical_cores());
  return out;
}

Napi::Value kernels(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Array out = Napi::Array::New(env);
  auto add = [&](const auto& kernel, const char* weights) {
    const CpuFeatures missing = kernel.required & ~cpu_features();
    Napi::Object o = Napi::Object::New(env);
    o.Set("name", kernel.name);
    o.Set("family", kernel.family);
    o.Set("isa", kernel.isa);
    o.Set("weights", weights);
    o.Set("available", missing == 0);
    o.Set("missing", to_js(env, feature_names(missing)));
    o.Set("description", kernel.description);
    out.Set(out.Length(), o);
  };
  for (const auto* kernel : all_kernels()) add(*kernel, "ternary");
  for (const auto* kernel : all_group_kernels()) add(*kernel, "grouped");
  return out;
}

Napi::Value formats(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Array out = Napi::Array::New(env);
  uint32_t i = 0;
  for (const auto* format : all_formats()) {
    Napi::Object o = Napi::Object::New(env);
    o.Set("name", format->name);
    o.Set("ternary", format->unpack_codes || format->quantize_codes);
    o.Set("dense", format->dense_type != kNoDense);
    if ((format->groups && format->groups->group) || format->gptq_bits) {
      Napi::Object scales = Napi::Object::New(env);
      scales.Set("bits", format->gptq_bits ? format->gptq_bits : format->groups->bits);
      if (format->gptq_bits) scales.Set("zeroPoints", true);
      if (format->groups) scales.Set("group", static_cast<double>(format->groups->group));
      o.Set("scales", scales);
    }
    out.Set(i++, o);
  }
  return out;
}

Napi::Value probe_bandwidth(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const size_t bytes = as_integer(info[0], "bytes", 1 << 20, uint64_t{1} << 36);
    const auto threads = static_cast<unsigned>(as_integer(info[1], "threads", 1, 256));
    auto task = BackgroundTask::start(info.Env(), "bitnet bandwidth", [bytes, threads](BackgroundTask&) {
      const double rate = read_bandwidth(bytes, threads);
      return [rate, threads](Napi::Env env) -> Napi::Value {
        Napi::Object out = Napi::Object::New(env);
        out.Set("gigabytesPerSecond", rate / 1e9);
        out.Set("threads", threads);
        return out;
      };
    });
    return task->promise();
  });
}

Napi::Value peak_memory_bytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), peak_resident_bytes());
}

}  // namespace bitnet::addon
