// Work on a thread of its own that settles a promise: never on libuv's pool, which belongs to the application.
#pragma once

#include <napi.h>

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

namespace bitnet::addon {

class BackgroundTask : public std::enable_shared_from_this<BackgroundTask> {
 public:
  // Runs on the task's thread; may throw. Returns what makes the promise's value on the JavaScript thread.
  using Result = std::function<Napi::Value(Napi::Env)>;
  using Work = std::function<Result(BackgroundTask&)>;

  static std::shared_ptr<BackgroundTask> start(Napi::Env env, const char* name, Work work, Napi::Function on_progress = {});

  // A task as scripts have it: { promise, cancel() }.
  static Napi::Object handle(Napi::Env env, const std::shared_ptr<BackgroundTask>& task);

  Napi::Promise promise() const { return deferred_.Promise(); }
  // Called on the JavaScript thread; `work` looks at cancelled().
  void cancel() { cancelled_ = true; }
  std::atomic<bool>& cancelled() { return cancelled_; }
  // From the task's threads: calls on_progress(share) on the JavaScript thread.
  void progress(double share);

 private:
  explicit BackgroundTask(Napi::Env env) : deferred_(Napi::Promise::Deferred::New(env)) {}

  Napi::Promise::Deferred deferred_;
  Napi::FunctionReference on_progress_;
  Napi::ThreadSafeFunction channel_;
  std::atomic<bool> cancelled_{false};
  // What `work` gave. Here and not in the message, which is not destroyed if the environment ends before it is read.
  Result result_;
  std::exception_ptr error_;
  std::thread thread_;
  std::shared_ptr<BackgroundTask> self_;  // until the channel is finalised
};

}  // namespace bitnet::addon
