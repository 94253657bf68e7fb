// Free functions of the addon that tell about the machine.
#pragma once

#include <napi.h>

namespace bitnet::addon {

Napi::Value cpu(const Napi::CallbackInfo& info);
Napi::Value kernels(const Napi::CallbackInfo& info);
Napi::Value formats(const Napi::CallbackInfo& info);
Napi::Value probe_bandwidth(const Napi::CallbackInfo& info);
Napi::Value peak_memory_bytes(const Napi::CallbackInfo& info);

}  // namespace bitnet::addon
