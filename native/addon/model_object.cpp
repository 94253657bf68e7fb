#include "addon/model_object.h"

#include "addon/arguments.h"
#include "addon/background_task.h"
#include "addon/errors.h"
#include "addon/instance.h"
#include "addon/spec_reader.h"

namespace bitnet::addon {

Napi::Function ModelObject::define(Napi::Env env) {
  return DefineClass(env, "NativeModel",
                     {InstanceAccessor<&ModelObject::kernel>("kernel"),
                      InstanceAccessor<&ModelObject::float_level>("floatLevel"),
                      InstanceAccessor<&ModelObject::packed_bytes>("packedBytes"),
                      InstanceAccessor<&ModelObject::mapped_bytes>("mappedBytes"),
                      InstanceAccessor<&ModelObject::bytes_per_token>("bytesPerToken"),
                      InstanceAccessor<&ModelObject::macs_per_token>("macsPerToken"),
                      InstanceAccessor<&ModelObject::from_cache>("fromCache"),
                      InstanceMethod<&ModelObject::write_cache>("writeCache"),
                      InstanceMethod<&ModelObject::take_in>("takeIn"),
                      InstanceMethod<&ModelObject::create_context>("createContext"),
                      InstanceMethod<&ModelObject::close>("close")});
}

ModelObject::ModelObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ModelObject>(info) {
  if (info.Length() != 1 || !info[0].IsExternal()) {
    throw js_error(info.Env(), kInvalidArgument, "A NativeModel is made by loadModel.");
  }
  model_ = *info[0].As<Napi::External<std::shared_ptr<const Model>>>().Data();
}

Napi::Value ModelObject::load(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    auto spec = std::make_shared<ModelSpec>(read_model_spec(info[0]));
    const Napi::Object options = as_object(info[1], "options");
    const auto threads = static_cast<unsigned>(as_integer(options.Get("threads"), "threads", 1, 256));
    const std::string kernel = present(options, "kernel") ? as_string(options.Get("kernel"), "kernel") : "";
    const size_t prefetch =
        present(options, "prefetch") ? as_integer(options.Get("prefetch"), "prefetch", 0, 1 << 20) : kDefaultPrefetch;
    bool sparsity = true;
    HeadMode head_mode = HeadMode::kAuto;
    if (present(options, "sparsity")) {
      if (!options.Get("sparsity").IsBoolean()) wrong("sparsity", "a boolean");
      sparsity = options.Get("sparsity").As<Napi::Boolean>().Value();
    }
    if (present(options, "head")) {
      const std::string head = as_string(options.Get("head"), "head");
      if (head != "auto" && head != "full" && head != "sketch") wrong("head", "\"auto\", \"full\" or \"sketch\"");
      head_mode = head == "auto" ? HeadMode::kAuto : head == "full" ? HeadMode::kFull : HeadMode::kSketch;
    }
    CacheControl cache;
    if (present(options, "cache")) {
      const Napi::Object o = as_object(options.Get("cache"), "cache");
      cache.path = as_string(o.Get("path"), "cache.path");
      cache.key = as_string(o.Get("key"), "cache.key");
      if (!o.Get("mapped").IsBoolean()) wrong("cache.mapped", "a boolean");
      cache.mapped = o.Get("mapped").As<Napi::Boolean>().Value();
      if (present(o, "residentBytes")) {
        cache.resident_bytes = as_integer(o.Get("residentBytes"), "cache.residentBytes", 0, int64_t{1} << 46);
      }
    }
    Napi::Function on_progress;
    if (present(options, "onProgress")) {
      if (!options.Get("onProgress").IsFunction()) wrong("onProgress", "a function");
      on_progress = options.Get("onProgress").As<Napi::Function>();
    }
    const bool reports = !on_progress.IsEmpty();
    auto task = BackgroundTask::start(
        env, "bitnet load",
        [spec, threads, kernel, reports, prefetch, sparsity, head_mode, cache](BackgroundTask& self) -> BackgroundTask::Result {
          LoadControl control(self.cancelled());
          control.threads = threads;
          control.prefetch = prefetch;
          control.sparsity = sparsity;
          control.head = head_mode;
          control.cache = cache;
          if (reports) control.on_progress = [&self](double share) { self.progress(share); };
          auto model = std::make_shared<std::shared_ptr<const Model>>(Model::load(std::move(*spec), kernel, control));
          return [model](Napi::Env result_env) -> Napi::Value {
            auto* instance = result_env.GetInstanceData<Instance>();
            return instance->model.New({Napi::External<std::shared_ptr<const Model>>::New(result_env, model.get())});
          };
        },
        on_progress);
    return BackgroundTask::handle(env, task);
  });
}

const Model& ModelObject::model() const {
  if (!model_) throw Error(kClosed, "The model is closed.");
  return *model_;
}

Napi::Value ModelObject::kernel(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return Napi::String::New(info.Env(), model().kernel_names()); });
}
Napi::Value ModelObject::float_level(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return Napi::String::New(info.Env(), model().ops().level); });
}
Napi::Value ModelObject::packed_bytes(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return Napi::Number::New(info.Env(), static_cast<double>(model().packed_bytes())); });
}
Napi::Value ModelObject::mapped_bytes(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return Napi::Number::New(info.Env(), static_cast<double>(model().mapped_bytes())); });
}
Napi::Value ModelObject::bytes_per_token(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return Napi::Number::New(info.Env(), static_cast<double>(model().bytes_per_token())); });
}
Napi::Value ModelObject::macs_per_token(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return Napi::Number::New(info.Env(), static_cast<double>(model().macs_per_token())); });
}

Napi::Value ModelObject::from_cache(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return Napi::Boolean::New(info.Env(), model().from_cache()); });
}

Napi::Value ModelObject::in_background(Napi::Env env, const char* name, void (Model::*work)(const std::atomic<bool>&) const) {
  return guarded(env, [&]() -> Napi::Value {
    model();
    // The task holds the weights, so that closing the model meanwhile is of no harm.
    auto task = [kept = model_, work](BackgroundTask& self) -> BackgroundTask::Result {
      ((*kept).*work)(self.cancelled());
      return [](Napi::Env result_env) -> Napi::Value { return result_env.Undefined(); };
    };
    return BackgroundTask::handle(env, BackgroundTask::start(env, name, std::move(task)));
  });
}

Napi::Value ModelObject::write_cache(const Napi::CallbackInfo& info) {
  return in_background(info.Env(), "bitnet cache", &Model::write_cache);
}

Napi::Value ModelObject::take_in(const Napi::CallbackInfo& info) {
  return in_background(info.Env(), "bitnet weights", &Model::take_in);
}

Napi::Value ModelObject::create_context(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    model();
    auto* instance = info.Env().GetInstanceData<Instance>();
    return instance->context.New(
        {Napi::External<std::shared_ptr<const Model>>::New(info.Env(), &model_), as_object(info[0], "options")});
  });
}

void ModelObject::close(const Napi::CallbackInfo&) { model_.reset(); }

}  // namespace bitnet::addon
