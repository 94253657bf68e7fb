// What belongs to one JavaScript environment (the main thread or a worker): its class constructors.
#pragma once

#include <napi.h>

namespace bitnet::addon {

struct Instance {
  Napi::FunctionReference model, context;
};

}  // namespace bitnet::addon
