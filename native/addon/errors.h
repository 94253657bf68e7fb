// C++ exceptions to JavaScript errors with a `code` (types/addon.d.ts).
#pragma once

#include <napi.h>

#include <exception>
#include <new>
#include <system_error>

#include "error.h"

namespace bitnet::addon {

inline Napi::Error js_error(Napi::Env env, const char* code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

// The JavaScript error for an exception in flight.
inline Napi::Error js_error(Napi::Env env, const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const Error& e) {
    return js_error(env, e.code, e.what());
  } catch (const std::bad_alloc&) {
    return js_error(env, kOutOfMemory, "Out of memory. Use a smaller model or contextLength.");
  } catch (const std::system_error& e) {
    return js_error(env, kOutOfMemory, std::string("The system started no thread: ") + e.what() + ".");
  } catch (const std::exception& e) {
    return js_error(env, kInvalidArgument, e.what());
  } catch (...) {
    return js_error(env, kInvalidArgument, "Unknown native failure.");
  }
}

// Runs f and turns its C++ exceptions into JavaScript ones. Every exported method goes through here.
template <class F>
auto guarded(Napi::Env env, F&& f) {
  try {
    return f();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw js_error(env, std::current_exception());
  }
}

}  // namespace bitnet::addon
