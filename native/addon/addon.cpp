// The addon's exports: see types/addon.d.ts.
#include <napi.h>

#include "addon/context_object.h"
#include "addon/instance.h"
#include "addon/measuring.h"
#include "addon/model_object.h"
#include "addon/system.h"

#ifndef BITNET_VERSION
#define BITNET_VERSION "0.0.0"
#endif

namespace bitnet::addon {

static Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* instance = new Instance();
  instance->model = Napi::Persistent(ModelObject::define(env));
  instance->context = Napi::Persistent(ContextObject::define(env));
  env.SetInstanceData(instance);

  exports.Set("version", BITNET_VERSION);
  exports.Set("formats", Napi::Function::New<formats>(env, "formats"));
  exports.Set("cpu", Napi::Function::New<cpu>(env, "cpu"));
  exports.Set("kernels", Napi::Function::New<kernels>(env, "kernels"));
  exports.Set("loadModel", Napi::Function::New<ModelObject::load>(env, "loadModel"));
  exports.Set("probeBandwidth", Napi::Function::New<probe_bandwidth>(env, "probeBandwidth"));
  exports.Set("probeDotProducts", Napi::Function::New<probe_dot_products>(env, "probeDotProducts"));
  exports.Set("tune", Napi::Function::New<tune_kernels>(env, "tune"));
  exports.Set("benchKernel", Napi::Function::New<bench_kernel_task>(env, "benchKernel"));
  exports.Set("peakMemoryBytes", Napi::Function::New<peak_memory_bytes>(env, "peakMemoryBytes"));
  return exports;
}

static Napi::Object init_module(Napi::Env env, Napi::Object exports) { return init(env, exports); }

NODE_API_MODULE(NODE_GYP_MODULE_NAME, init_module)

}  // namespace bitnet::addon
