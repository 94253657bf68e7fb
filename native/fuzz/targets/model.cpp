// Loading a specification over a file of any bytes, and a context's calls in any order: what the addon's entry points do
// with what TypeScript hands them. Nothing may be read beyond the file, and when all sequences are released every block of
// the KV cache is free again.
#include <condition_variable>
#include <deque>
#include <mutex>

#include "engine/context.h"
#include "error.h"
#include "fuzz/random_model.h"

using namespace bitnet;

namespace {

// Plays the JavaScript thread of a context.
class Driver {
 public:
  Driver(FuzzedDataProvider& in, std::shared_ptr<const Model> model, const ContextOptions& options)
      : in_(in), options_(options), vocabulary_(static_cast<int32_t>(model->spec().vocabulary_size)),
        context_(std::move(model), options, [this](std::unique_ptr<Context::Job> job) {
          std::lock_guard<std::mutex> lock(mutex_);
          finished_.push_back(std::move(job));
          arrived_.notify_one();
        }) {}

  void run() {
    for (int i = in_.ConsumeIntegralInRange<int>(1, 24); i > 0 && in_.remaining_bytes(); i--) {
      try {
        step();
      } catch (const Error&) {
      }
      deliver(false);
    }
    deliver(true);
    for (int32_t id : sequences_) {
      try {
        context_.release_sequence(id);
      } catch (const Error&) {
      }
    }
    // A fork's copy is held until the pass that makes it.
    const int32_t last = context_.create_sequence();
    ForwardRequest r;
    r.tokens = {0};
    r.sequences = {last};
    r.want = {1};
    try {
      context_.submit(std::move(r), nullptr);
      deliver(true);
      context_.release_sequence(last);
      if (!failed_) REQUIRE(context_.free_blocks() == context_.total_blocks());
    } catch (const Error& e) {
      REQUIRE(fuzz::is(e, kKvFull));
    }
  }

 private:
  int32_t sequence() {
    if (sequences_.empty() || in_.ConsumeIntegralInRange<int>(0, 15) == 0) return in_.ConsumeIntegral<int32_t>();
    return sequences_[in_.ConsumeIntegralInRange<size_t>(0, sequences_.size() - 1)];
  }

  void step() {
    switch (in_.ConsumeIntegralInRange<int>(0, 9)) {
      case 0: sequences_.push_back(context_.create_sequence()); break;
      case 1: sequences_.push_back(context_.fork_sequence(sequence(), in_.ConsumeIntegralInRange<size_t>(0, 70))); break;
      case 2: context_.truncate_sequence(sequence(), in_.ConsumeIntegralInRange<size_t>(0, 70)); break;
      case 3: context_.release_sequence(sequence()); break;
      case 4: context_.cancel(); break;
      case 5: context_.last_logits(in_.ConsumeIntegralInRange<size_t>(0, 4)); break;
      case 6: deliver(true); break;
      default: context_.submit(request(), nullptr);
    }
  }

  ForwardRequest request() {
    ForwardRequest r;
    size_t outputs = 0;
    for (int runs = in_.ConsumeIntegralInRange<int>(1, 3); runs > 0; runs--) {
      if (sequences_.empty()) sequences_.push_back(context_.create_sequence());
      const int32_t id = sequence();
      for (int n = in_.ConsumeIntegralInRange<int>(1, 40); n > 0; n--) {
        r.tokens.push_back(in_.ConsumeIntegralInRange<int32_t>(in_.ConsumeBool() ? 0 : -1, vocabulary_));
        if (r.tokens.back() == vocabulary_ && in_.ConsumeBool()) r.tokens.back() = 0;
        r.sequences.push_back(id);
        r.want.push_back(n == 1 ? in_.ConsumeIntegralInRange<uint8_t>(0, 4) : 0);
        outputs += r.want.back() == 1;
      }
    }
    r.candidates = in_.ConsumeIntegralInRange<size_t>(0, 400);
    r.log_sum_exp = in_.ConsumeBool();
    if (in_.ConsumeBool()) r.temperatures.assign(outputs, in_.ConsumeFloatingPointInRange<float>(0, 2));
    if (in_.ConsumeBool()) {
      r.extra_offsets.push_back(0);
      for (size_t i = 0; i < outputs; i++) {
        for (int n = in_.ConsumeIntegralInRange<int>(0, 3); n > 0; n--) {
          r.extra_ids.push_back(in_.ConsumeIntegralInRange<int32_t>(0, vocabulary_));
        }
        r.extra_offsets.push_back(in_.ConsumeBool() ? static_cast<int32_t>(r.extra_ids.size())
                                                    : in_.ConsumeIntegralInRange<int32_t>(-1, 9));
      }
    }
    if (in_.remaining_bytes() && in_.ConsumeBool()) {
      TokenGuess guess;
      guess.unit = in_.ConsumeFloatingPoint<double>();
      using Step = TokenGuess::Step;
      while (in_.ConsumeBool()) {
        guess.steps.emplace_back(in_.PickValueInArray({Step::kTopP, Step::kMinP, Step::kTemperature}),
                                 in_.ConsumeFloatingPoint<double>());
      }
      r.guess = std::move(guess);
    }
    return r;
  }

  // Takes over what came back; all that is under way where `wait`.
  void deliver(bool wait) {
    while (context_.jobs_in_flight()) {
      std::unique_ptr<Context::Job> job;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        if (wait) arrived_.wait(lock, [this] { return !finished_.empty(); });
        if (finished_.empty()) return;
        job = std::move(finished_.front());
        finished_.pop_front();
      }
      failed_ |= job->error != nullptr;
      context_.finish(*job);
    }
  }

  FuzzedDataProvider& in_;
  const ContextOptions options_;
  const int32_t vocabulary_;
  std::vector<int32_t> sequences_;
  bool failed_ = false;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::unique_ptr<Context::Job>> finished_;
  Context context_;  // last: its thread uses the members above
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedDataProvider in(data, size);
  fuzz::RandomSpec made = fuzz::random_spec(in);
  if (made.file_bytes == 0 || made.file_bytes > 8 << 20) return 0;
  const char* const kernels[] = {"", "scalar", "scalar-t5", "scalar-tl1", "avx2"};
  const std::string kernel = in.PickValueInArray(kernels);
  const std::atomic<bool> cancelled{false};
  LoadControl control(cancelled);
  control.threads = in.ConsumeIntegralInRange<unsigned>(1, 2);
  fuzz::random_shortcuts(in, control);
  ContextOptions options;
  options.threads = in.ConsumeIntegralInRange<unsigned>(1, 3);
  options.kv_type = static_cast<KvType>(in.ConsumeIntegralInRange<int>(0, 2));
  options.kv_blocks = in.ConsumeIntegralInRange<size_t>(1, 12);
  options.max_batch_tokens = in.ConsumeIntegralInRange<size_t>(1, 96);
  options.max_sequence_length = in.ConsumeIntegralInRange<size_t>(1, made.spec.context_length < 1024 ? 1 + made.spec.context_length : 1);
  const fuzz::MemoryFile file(in, made.file_bytes);
  made.spec.files = {file.path()};
  std::shared_ptr<const Model> model;
  try {
    model = Model::load(std::move(made.spec), kernel, control);
  } catch (const Error&) {
    return 0;
  }
  if (options.max_sequence_length > model->spec().context_length) return 0;
  Driver(in, model, options).run();
  return 0;
}
