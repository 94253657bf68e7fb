// Free functions of the addon that time kernels on this machine, each on a thread of its own.
#pragma once

#include <napi.h>

namespace bitnet::addon {

Napi::Value tune_kernels(const Napi::CallbackInfo& info);         // tune(request): Task<TuneResult>
Napi::Value bench_kernel_task(const Napi::CallbackInfo& info);    // benchKernel(request): Task<KernelBenchResult>
Napi::Value probe_dot_products(const Napi::CallbackInfo& info);   // probeDotProducts(threads): Task<DotProductProbe[]>

}  // namespace bitnet::addon
