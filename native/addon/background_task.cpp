#include "addon/background_task.h"

#include "addon/errors.h"

namespace bitnet::addon {

std::shared_ptr<BackgroundTask> BackgroundTask::start(Napi::Env env, const char* name, Work work,
                                                      Napi::Function on_progress) {
  std::shared_ptr<BackgroundTask> task(new BackgroundTask(env));
  if (!on_progress.IsEmpty()) task->on_progress_ = Napi::Persistent(on_progress);
  task->self_ = task;
  auto* raw = task.get();
  task->channel_ = Napi::ThreadSafeFunction::New(
      env, Napi::Function::New(env, [](const Napi::CallbackInfo&) {}), name, 0, 1,
      // Also runs when the environment goes away early: then the work is told to stop first.
      [raw](Napi::Env) {
        raw->cancelled_ = true;
        if (raw->thread_.joinable()) raw->thread_.join();
        raw->on_progress_.Reset();
        raw->self_.reset();
      });
  const auto run = [raw, work = std::move(work)] {
    try {
      raw->result_ = work(*raw);
    } catch (...) {
      raw->error_ = std::current_exception();
    }
    raw->channel_.BlockingCall([raw](Napi::Env callback_env, Napi::Function) {
      if (raw->error_) {
        raw->deferred_.Reject(js_error(callback_env, raw->error_).Value());
        return;
      }
      try {
        raw->deferred_.Resolve(raw->result_(callback_env));
      } catch (const Napi::Error& e) {
        raw->deferred_.Reject(e.Value());
      }
    });
    raw->channel_.Release();
  };
  try {
    task->thread_ = std::thread(run);
  } catch (...) {
    task->channel_.Release();  // or the process would wait for a task that never began
    throw;
  }
  return task;
}

Napi::Object BackgroundTask::handle(Napi::Env env, const std::shared_ptr<BackgroundTask>& task) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("promise", task->promise());
  const std::weak_ptr<BackgroundTask> weak = task;
  out.Set("cancel", Napi::Function::New(env, [weak](const Napi::CallbackInfo&) {
            if (const auto running = weak.lock()) running->cancel();
          }));
  return out;
}

void BackgroundTask::progress(double share) {
  channel_.NonBlockingCall([this, share](Napi::Env env, Napi::Function) {
    if (on_progress_.IsEmpty() || cancelled_) return;
    on_progress_.Call({Napi::Number::New(env, share)});
  });
}

}  // namespace bitnet::addon
