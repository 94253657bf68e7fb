// NativeModel of types/addon.d.ts, and loadModel which makes it.
#pragma once

#include <napi.h>

#include <atomic>
#include <memory>

#include "engine/model.h"

namespace bitnet::addon {

class ModelObject : public Napi::ObjectWrap<ModelObject> {
 public:
  static Napi::Function define(Napi::Env env);
  static Napi::Value load(const Napi::CallbackInfo& info);  // loadModel(spec, options): LoadTask
  explicit ModelObject(const Napi::CallbackInfo& info);

 private:
  const Model& model() const;  // throws Error(kClosed)
  // A task, on a thread of that name, whose promise resolves when the work is done.
  Napi::Value in_background(Napi::Env env, const char* name, void (Model::*work)(const std::atomic<bool>&) const);
  Napi::Value kernel(const Napi::CallbackInfo& info);
  Napi::Value float_level(const Napi::CallbackInfo& info);
  Napi::Value packed_bytes(const Napi::CallbackInfo& info);
  Napi::Value mapped_bytes(const Napi::CallbackInfo& info);
  Napi::Value bytes_per_token(const Napi::CallbackInfo& info);
  Napi::Value macs_per_token(const Napi::CallbackInfo& info);
  Napi::Value from_cache(const Napi::CallbackInfo& info);
  Napi::Value write_cache(const Napi::CallbackInfo& info);
  Napi::Value take_in(const Napi::CallbackInfo& info);
  Napi::Value create_context(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  std::shared_ptr<const Model> model_;
};

}  // namespace bitnet::addon
