// Strict reading of JavaScript values: a wrong type is an Error that names the property.
#pragma once

#include <napi.h>

#include <cmath>
#include <string>
#include <vector>

#include "error.h"

namespace bitnet::addon {

[[noreturn]] inline void wrong(const std::string& name, const char* wanted) {
  throw Error(kInvalidArgument, name + " must be " + wanted + ".");
}

inline Napi::Object as_object(Napi::Value v, const std::string& name) {
  if (!v.IsObject()) wrong(name, "an object");
  return v.As<Napi::Object>();
}

inline double as_number(Napi::Value v, const std::string& name) {
  if (!v.IsNumber()) wrong(name, "a number");
  return v.As<Napi::Number>().DoubleValue();
}

inline uint64_t as_integer(Napi::Value v, const std::string& name, uint64_t low, uint64_t high) {
  const double d = as_number(v, name);
  if (!(d >= static_cast<double>(low) && d <= static_cast<double>(high)) || std::floor(d) != d) {
    throw Error(kInvalidArgument,
                name + " must be an integer from " + std::to_string(low) + " to " + std::to_string(high) + ".");
  }
  return static_cast<uint64_t>(d);
}

inline std::string as_string(Napi::Value v, const std::string& name) {
  if (!v.IsString()) wrong(name, "a string");
  return v.As<Napi::String>().Utf8Value();
}

inline bool present(const Napi::Object& o, const char* name) {
  const Napi::Value v = o.Get(name);
  return !v.IsUndefined() && !v.IsNull();
}

// A typed array of T as a vector; the type tag must match exactly.
template <class T>
std::vector<T> as_vector(Napi::Value v, const std::string& name, napi_typedarray_type type, const char* wanted) {
  if (!v.IsTypedArray() || v.As<Napi::TypedArray>().TypedArrayType() != type) wrong(name, wanted);
  auto array = v.As<Napi::TypedArrayOf<T>>();
  return array.ElementLength() ? std::vector<T>(array.Data(), array.Data() + array.ElementLength()) : std::vector<T>();
}

template <class Array, class T>
Array to_typed_array(Napi::Env env, const std::vector<T>& v) {
  Array array = Array::New(env, v.size());
  if (!v.empty()) std::memcpy(array.Data(), v.data(), v.size() * sizeof(T));
  return array;
}

}  // namespace bitnet::addon
