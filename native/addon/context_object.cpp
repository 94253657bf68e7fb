#include "addon/context_object.h"

#include "addon/arguments.h"
#include "addon/errors.h"

namespace bitnet::addon {
namespace {

ContextOptions read_options(const Napi::Object& o, const Model& model) {
  ContextOptions options;
  options.threads = static_cast<unsigned>(as_integer(o.Get("threads"), "threads", 1, 256));
  const std::string type = as_string(o.Get("kvType"), "kvType");
  if (type == "f32") {
    options.kv_type = KvType::kF32;
  } else if (type == "f16") {
    options.kv_type = KvType::kF16;
  } else if (type == "int8") {
    options.kv_type = KvType::kInt8;
  } else {
    wrong("kvType", "\"f32\", \"f16\" or \"int8\"");
  }
  options.kv_blocks = as_integer(o.Get("kvBlocks"), "kvBlocks", 1, 1u << 24);
  options.max_batch_tokens = as_integer(o.Get("maxBatchTokens"), "maxBatchTokens", 1, 4096);
  options.max_sequence_length =
      as_integer(o.Get("maxSequenceLength"), "maxSequenceLength", 1, model.spec().context_length);
  return options;
}

TokenGuess read_guess(const Napi::Object& o) {
  TokenGuess guess;
  const auto values = as_vector<double>(o.Get("guess"), "guess", napi_float64_array, "a Float64Array");
  if (values.size() % 2 == 0) wrong("guess", "a random number and pairs of a step and its value");
  guess.unit = values.front();
  for (size_t i = 1; i < values.size(); i += 2) {
    if (values[i] != 1 && values[i] != 2 && values[i] != 3) wrong("guess", "a random number and steps from 1 to 3 with values");
    guess.steps.emplace_back(static_cast<TokenGuess::Step>(values[i]), values[i + 1]);
  }
  if (present(o, "guessEnds")) {
    guess.ends = as_vector<int32_t>(o.Get("guessEnds"), "guessEnds", napi_int32_array, "an Int32Array");
  }
  return guess;
}

Napi::Object to_js(Napi::Env env, const BatchResult& r) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("candidateIds", to_typed_array<Napi::Int32Array>(env, r.candidate_ids));
  out.Set("candidateLogits", to_typed_array<Napi::Float32Array>(env, r.candidate_logits));
  out.Set("logSumExp", to_typed_array<Napi::Float32Array>(env, r.log_sum_exp));
  out.Set("extraLogits", to_typed_array<Napi::Float32Array>(env, r.extra_logits));
  out.Set("logits", to_typed_array<Napi::Float32Array>(env, r.logits));
  out.Set("hidden", to_typed_array<Napi::Float32Array>(env, r.hidden));
  out.Set("microseconds", Napi::Number::New(env, r.microseconds));
  return out;
}

int32_t sequence_id(Napi::Value v) { return static_cast<int32_t>(as_integer(v, "sequence", 1, 0x7fffffff)); }

size_t position_count(Napi::Value v) { return as_integer(v, "length", 0, 1u << 30); }

}  // namespace

Napi::Function ContextObject::define(Napi::Env env) {
  return DefineClass(env, "NativeContext",
                     {InstanceMethod<&ContextObject::create_sequence>("createSequence"),
                      InstanceMethod<&ContextObject::fork_sequence>("forkSequence"),
                      InstanceMethod<&ContextObject::truncate_sequence>("truncateSequence"),
                      InstanceMethod<&ContextObject::release_sequence>("releaseSequence"),
                      InstanceMethod<&ContextObject::sequence_length>("sequenceLength"),
                      InstanceMethod<&ContextObject::read_block>("readBlock"),
                      InstanceMethod<&ContextObject::append_block>("appendBlock"),
                      InstanceAccessor<&ContextObject::block_bytes>("blockBytes"),
                      InstanceAccessor<&ContextObject::free_blocks>("freeBlocks"),
                      InstanceAccessor<&ContextObject::total_blocks>("totalBlocks"),
                      InstanceAccessor<&ContextObject::memory_bytes>("memoryBytes"),
                      InstanceAccessor<&ContextObject::statistics>("statistics"),
                      InstanceMethod<&ContextObject::forward>("forward"),
                      InstanceMethod<&ContextObject::cancel>("cancel"),
                      InstanceMethod<&ContextObject::last_logits>("lastLogits"),
                      InstanceMethod<&ContextObject::close>("close")});
}

ContextObject::ContextObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ContextObject>(info) {
  const Napi::Env env = info.Env();
  guarded(env, [&] {
    if (info.Length() != 2 || !info[0].IsExternal()) {
      throw Error(kInvalidArgument, "A NativeContext is made by NativeModel.createContext.");
    }
    auto model = *info[0].As<Napi::External<std::shared_ptr<const Model>>>().Data();
    const ContextOptions options = read_options(as_object(info[1], "options"), *model);
    link_ = new Link{this};
    channel_ = Channel::New(env, "bitnet forward", 0, 1, link_, [](Napi::Env, void*, Link* link) {
      if (link->object) link->object->environment_ended();
      delete link;
    });
    channel_.Unref(env);  // an idle context doesn't keep the process alive
    auto channel = channel_;
    try {
      context_ = std::make_unique<Context>(std::move(model), options, [channel](std::unique_ptr<Context::Job> job) {
        if (channel.NonBlockingCall(job.get()) == napi_ok) static_cast<void>(job.release());  // comes back in deliver()
      });
    } catch (...) {
      link_->object = nullptr;
      channel_.Release();
      link_ = nullptr;
      throw;
    }
  });
}

ContextObject::~ContextObject() { shut_down(); }

// Stops the engine thread and lets go of the channel; promises still pending are the caller's business.
void ContextObject::shut_down() {
  if (!context_) return;
  link_->object = nullptr;
  context_.reset();
  channel_.Release();
  link_ = nullptr;
}

// The environment (a worker, mostly) ends while the context is open. The channel is freed right after this, so the engine
// thread, which calls it, has to be gone by then, and nobody may release it.
void ContextObject::environment_ended() {
  context_.reset();
  link_ = nullptr;
}

void ContextObject::deliver(Napi::Env env, Napi::Function, Link* link, Context::Job* raw) {
  const std::unique_ptr<Context::Job> job(raw);
  if (env != nullptr && link->object) link->object->complete(env, *job);
}

void ContextObject::complete(Napi::Env env, Context::Job& job) {
  context_->finish(job);
  const auto it = pending_.find(reinterpret_cast<uintptr_t>(job.user));
  if (it == pending_.end()) return;  // submitted while the environment was ending: there could be no promise
  const Napi::Promise::Deferred deferred = it->second;
  pending_.erase(it);
  if (pending_.empty()) {
    channel_.Unref(env);
    Unref();
  }
  if (job.error) {
    deferred.Reject(js_error(env, job.error).Value());
  } else {
    deferred.Resolve(to_js(env, job.result));
  }
}

Context& ContextObject::context() const {
  if (!context_) throw Error(kClosed, "The context is closed.");
  return *context_;
}

Napi::Value ContextObject::create_sequence(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return Napi::Number::New(info.Env(), context().create_sequence()); });
}

Napi::Value ContextObject::fork_sequence(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return Napi::Number::New(info.Env(), context().fork_sequence(sequence_id(info[0]), position_count(info[1])));
  });
}

void ContextObject::truncate_sequence(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { context().truncate_sequence(sequence_id(info[0]), position_count(info[1])); });
}

void ContextObject::release_sequence(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { context().release_sequence(sequence_id(info[0])); });
}

Napi::Value ContextObject::sequence_length(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return Napi::Number::New(info.Env(), static_cast<double>(context().sequence_length(sequence_id(info[0]))));
  });
}

Napi::Value ContextObject::read_block(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] {
    const uint8_t* bytes = context().full_block(sequence_id(info[0]), as_integer(info[1], "index", 0, 1u << 24));
    Napi::Uint8Array copy = Napi::Uint8Array::New(env, context().block_bytes());
    std::memcpy(copy.Data(), bytes, copy.ByteLength());
    return copy;
  });
}

void ContextObject::append_block(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    if (!info[1].IsTypedArray() || info[1].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
      wrong("bytes", "a Uint8Array");
    }
    const auto bytes = info[1].As<Napi::Uint8Array>();
    context().append_block(sequence_id(info[0]), bytes.Data(), bytes.ByteLength());
  });
}

Napi::Value ContextObject::block_bytes(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return Napi::Number::New(info.Env(), static_cast<double>(context().block_bytes())); });
}

Napi::Value ContextObject::free_blocks(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return Napi::Number::New(info.Env(), static_cast<double>(context().free_blocks())); });
}

Napi::Value ContextObject::total_blocks(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return Napi::Number::New(info.Env(), static_cast<double>(context().total_blocks())); });
}

Napi::Value ContextObject::memory_bytes(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return Napi::Number::New(info.Env(), static_cast<double>(context().memory_bytes())); });
}

Napi::Value ContextObject::statistics(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] {
    const auto& sketch = context().forward_pass().output_head().sketch_stats();
    const auto& sparsity = context().forward_pass().sparsity();
    Napi::Object out = Napi::Object::New(env);
    auto set = [&](const char* name, uint64_t count) { out.Set(name, Napi::Number::New(env, static_cast<double>(count))); };
    set("sketchOutputs", sketch.outputs);
    set("sketchRowsRefined", sketch.rows_refined);
    set("sketchRows", sketch.rows_scored);
    set("sketchFallbacks", sketch.fallbacks);
    set("gates", sparsity.rows);
    set("liveGates", sparsity.live_rows);
    set("downInputs", sparsity.inputs);
    set("liveDownInputs", sparsity.live_inputs);
    set("begunAhead", context().begun_ahead());
    set("takenAhead", context().taken_ahead());
    return out;
  });
}

Napi::Value ContextObject::forward(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const Napi::Object o = as_object(info[0], "batch");
    ForwardRequest r;
    r.tokens = as_vector<int32_t>(o.Get("tokens"), "tokens", napi_int32_array, "an Int32Array");
    r.sequences = as_vector<int32_t>(o.Get("sequences"), "sequences", napi_int32_array, "an Int32Array");
    r.want = as_vector<uint8_t>(o.Get("want"), "want", napi_uint8_array, "a Uint8Array");
    r.candidates = as_integer(o.Get("candidates"), "candidates", 1, 4096);
    if (present(o, "logSumExp")) {
      if (!o.Get("logSumExp").IsBoolean()) wrong("logSumExp", "a boolean");
      r.log_sum_exp = o.Get("logSumExp").As<Napi::Boolean>().Value();
    }
    if (present(o, "temperatures")) {
      r.temperatures = as_vector<float>(o.Get("temperatures"), "temperatures", napi_float32_array, "a Float32Array");
    }
    if (present(o, "extraIds")) {
      r.extra_ids = as_vector<int32_t>(o.Get("extraIds"), "extraIds", napi_int32_array, "an Int32Array");
    }
    if (present(o, "extraOffsets")) {
      r.extra_offsets = as_vector<int32_t>(o.Get("extraOffsets"), "extraOffsets", napi_int32_array, "an Int32Array");
    }
    if (present(o, "masks")) r.masks = as_vector<int32_t>(o.Get("masks"), "masks", napi_int32_array, "an Int32Array");
    if (present(o, "maskOf")) r.mask_of = as_vector<int32_t>(o.Get("maskOf"), "maskOf", napi_int32_array, "an Int32Array");
    if (present(o, "guess")) r.guess = read_guess(o);
    const uintptr_t number = next_job_++;
    context().submit(std::move(r), reinterpret_cast<void*>(number));
    if (pending_.empty()) {
      channel_.Ref(env);
      Ref();
    }
    const auto deferred = Napi::Promise::Deferred::New(env);
    pending_.emplace(number, deferred);
    return deferred.Promise();
  });
}

void ContextObject::cancel(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { context().cancel(); });
}

Napi::Value ContextObject::last_logits(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return to_typed_array<Napi::Float32Array>(info.Env(), context().last_logits(as_integer(info[0], "index", 0, 4096)));
  });
}

void ContextObject::close(const Napi::CallbackInfo& info) {
  if (!context_) return;
  shut_down();
  if (pending_.empty()) return;
  const Napi::Error closed = js_error(info.Env(), kClosed, "The context was closed while a forward pass ran.");
  for (auto& [number, deferred] : pending_) deferred.Reject(closed.Value());
  pending_.clear();
  Unref();
}

}  // namespace bitnet::addon
