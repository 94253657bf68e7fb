// The one exception type that crosses into JavaScript. `code` is one of the ERR_ constants of types/addon.d.ts.
#pragma once

#include <stdexcept>
#include <string>

namespace bitnet {

struct Error : std::runtime_error {
  Error(const char* error_code, const std::string& message) : std::runtime_error(message), code(error_code) {}
  const char* code;
};

constexpr const char* kInvalidArgument = "ERR_INVALID_ARGUMENT";
constexpr const char* kModelFormat = "ERR_MODEL_FORMAT";
constexpr const char* kUnsupportedModel = "ERR_UNSUPPORTED_MODEL";
constexpr const char* kFileError = "ERR_FILE";
constexpr const char* kOutOfMemory = "ERR_OUT_OF_MEMORY";
constexpr const char* kKvFull = "ERR_KV_FULL";
constexpr const char* kAborted = "ERR_ABORTED";
constexpr const char* kClosed = "ERR_CLOSED";
constexpr const char* kKernelError = "ERR_KERNEL";

}  // namespace bitnet
