// NativeContext of types/addon.d.ts.
#pragma once

#include <napi.h>

#include <unordered_map>

#include "engine/context.h"

namespace bitnet::addon {

class ContextObject : public Napi::ObjectWrap<ContextObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit ContextObject(const Napi::CallbackInfo& info);
  ~ContextObject() override;

 private:
  // Jobs come back from the engine thread through here. It outlives the object, which may be closed or collected while
  // messages are under way.
  struct Link {
    ContextObject* object;
  };
  static void deliver(Napi::Env env, Napi::Function, Link* link, Context::Job* job);
  using Channel = Napi::TypedThreadSafeFunction<Link, Context::Job, deliver>;

  Context& context() const;  // throws Error(kClosed)
  void complete(Napi::Env env, Context::Job& job);
  void shut_down();
  void environment_ended();

  Napi::Value create_sequence(const Napi::CallbackInfo& info);
  Napi::Value fork_sequence(const Napi::CallbackInfo& info);
  void truncate_sequence(const Napi::CallbackInfo& info);
  void release_sequence(const Napi::CallbackInfo& info);
  Napi::Value sequence_length(const Napi::CallbackInfo& info);
  Napi::Value read_block(const Napi::CallbackInfo& info);
  void append_block(const Napi::CallbackInfo& info);
  Napi::Value block_bytes(const Napi::CallbackInfo& info);
  Napi::Value free_blocks(const Napi::CallbackInfo& info);
  Napi::Value total_blocks(const Napi::CallbackInfo& info);
  Napi::Value memory_bytes(const Napi::CallbackInfo& info);
  Napi::Value statistics(const Napi::CallbackInfo& info);
  Napi::Value forward(const Napi::CallbackInfo& info);
  void cancel(const Napi::CallbackInfo& info);
  Napi::Value last_logits(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  std::unique_ptr<Context> context_;
  Link* link_ = nullptr;
  Channel channel_;
  // Promises under way by job number (Job::user).
  std::unordered_map<uintptr_t, Napi::Promise::Deferred> pending_;
  uintptr_t next_job_ = 1;
};

}  // namespace bitnet::addon
