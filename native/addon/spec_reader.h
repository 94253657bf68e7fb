// ModelSpec of types/addon.d.ts -> bitnet::ModelSpec.
#pragma once

#include <napi.h>

#include "engine/model_spec.h"

namespace bitnet::addon {

ModelSpec read_model_spec(Napi::Value value);

}  // namespace bitnet::addon
