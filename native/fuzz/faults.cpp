// Lets every n-th allocation, mapping or start of a thread fail, one after another, while a model is loaded and run: each
// failure must become an exception, leave nothing behind (LeakSanitizer looks) and not disturb the next try.
//
//   native_faults [--most N]   prints what was tried
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <new>
#include <random>

#include <dlfcn.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/context.h"
#include "error.h"
#include "fuzz/fuzz.h"
#include "fuzz/random_spec.h"

namespace {

enum class Kind { kAllocation, kMapping, kThread };

// What is to fail: calls of `kind` from number `from` on, once or always.
struct Plan {
  std::atomic<bool> armed{false};
  std::atomic<Kind> kind{Kind::kAllocation};
  std::atomic<bool> always{false};
  std::atomic<size_t> from{0}, calls{0}, failed{0};
} plan;

bool fails(Kind kind) {
  if (!plan.armed.load() || plan.kind.load() != kind) return false;
  const size_t call = plan.calls.fetch_add(1);
  if (plan.always.load() ? call < plan.from.load() : call != plan.from.load()) return false;
  plan.failed.fetch_add(1);
  return true;
}

void* allocate(size_t bytes, size_t alignment) {
  if (fails(Kind::kAllocation)) throw std::bad_alloc();
  void* p = nullptr;
  if (posix_memalign(&p, alignment < sizeof(void*) ? sizeof(void*) : alignment, bytes ? bytes : 1)) throw std::bad_alloc();
  return p;
}

}  // namespace

void* operator new(size_t bytes) { return allocate(bytes, alignof(std::max_align_t)); }
void* operator new[](size_t bytes) { return allocate(bytes, alignof(std::max_align_t)); }
void* operator new(size_t bytes, std::align_val_t alignment) { return allocate(bytes, static_cast<size_t>(alignment)); }
void* operator new[](size_t bytes, std::align_val_t alignment) { return allocate(bytes, static_cast<size_t>(alignment)); }
void operator delete(void* p) noexcept { free(p); }
void operator delete[](void* p) noexcept { free(p); }
void operator delete(void* p, size_t) noexcept { free(p); }
void operator delete[](void* p, size_t) noexcept { free(p); }
void operator delete(void* p, std::align_val_t) noexcept { free(p); }
void operator delete[](void* p, std::align_val_t) noexcept { free(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { free(p); }
void operator delete[](void* p, size_t, std::align_val_t) noexcept { free(p); }

extern "C" void* mmap(void* address, size_t length, int protection, int flags, int fd, off_t offset) noexcept {
  if (fails(Kind::kMapping)) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  return reinterpret_cast<void*>(syscall(SYS_mmap, address, length, protection, flags, fd, offset));
}

extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*), void* argument) noexcept {
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const auto next = reinterpret_cast<Create>(dlsym(RTLD_NEXT, "pthread_create"));
  return fails(Kind::kThread) ? EAGAIN : next(thread, attributes, start, argument);
}

namespace {

using namespace bitnet;

class Collector {
 public:
  void put(std::unique_ptr<Context::Job> job) noexcept {
    std::lock_guard<std::mutex> lock(mutex_);
    job_ = std::move(job);
    arrived_.notify_one();
  }
  std::unique_ptr<Context::Job> take() {
    std::unique_lock<std::mutex> lock(mutex_);
    arrived_.wait(lock, [this] { return job_ != nullptr; });
    return std::move(job_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::unique_ptr<Context::Job> job_;
};

// Loads the model and runs a prompt, a fork and a decoded token, with logits, then candidates through the head's sketch;
// what came out.
std::vector<float> scenario(const ModelSpec& spec) {
  const std::atomic<bool> cancelled{false};
  LoadControl control(cancelled);
  control.threads = 3;
  control.head = HeadMode::kSketch;
  const auto model = Model::load(spec, "", control);
  ContextOptions options;
  options.threads = 3;
  options.kv_blocks = 6;
  options.max_batch_tokens = 64;
  options.max_sequence_length = model->spec().context_length;
  Collector collector;
  Context context(model, options, [&](std::unique_ptr<Context::Job> job) { collector.put(std::move(job)); });
  std::vector<float> out;
  std::vector<int32_t> sequences;
  auto forward = [&](int32_t id, size_t count, uint8_t want) {
    ForwardRequest r;
    r.tokens.assign(count, 1);
    r.sequences.assign(count, id);
    r.want.assign(count, 0);
    r.want.back() = want;
    r.log_sum_exp = false;
    context.submit(std::move(r), nullptr);
    const auto job = collector.take();
    context.finish(*job);
    if (job->error) std::rethrow_exception(job->error);
    for (const auto* values : {&job->result.logits, &job->result.candidate_logits}) out.insert(out.end(), values->begin(), values->end());
  };
  try {
    sequences.reserve(3);
    sequences.push_back(context.create_sequence());
    forward(sequences[0], 20, 2);
    sequences.push_back(context.fork_sequence(sequences[0], 10));
    forward(sequences[1], 1, 1);
    context.truncate_sequence(sequences[0], 15);
    forward(sequences[0], 2, 1);
  } catch (...) {
    // The context goes on, and no block is lost. (A job that was lost on its way is the addon's to answer for.)
    plan.armed = false;
    sequences.push_back(context.create_sequence());
    forward(sequences.back(), 1, 2);
    for (const int32_t id : sequences) context.release_sequence(id);
    REQUIRE(context.free_blocks() == context.total_blocks());
    throw;
  }
  for (const int32_t id : sequences) context.release_sequence(id);
  return out;
}

struct Tally {
  size_t injected = 0, tries = 0;
};

// Fails call 0, 1, 2, ... until a run has no more of them; at most `most`, spread over the whole run.
Tally sweep(const ModelSpec& spec, Kind kind, bool always, size_t most, const std::vector<float>& expected) {
  plan.kind = kind;
  plan.always = always;
  plan.from = SIZE_MAX;
  plan.calls = 0;
  plan.armed = true;
  scenario(spec);
  plan.armed = false;
  const size_t calls = plan.calls, step = calls / most + 1;
  Tally tally;
  for (size_t n = 0; n < calls; n += step) {
    plan.from = n;
    plan.calls = 0;
    plan.failed = 0;
    bool finished = false;
    std::vector<float> logits;
    plan.armed = true;
    try {
      logits = scenario(spec);
      finished = true;
    } catch (const Error&) {
    } catch (const std::bad_alloc&) {
    } catch (const std::system_error&) {
    }
    plan.armed = false;
    tally.injected += plan.failed;
    tally.tries++;
    // Where the failure could be borne, the result is the same.
    REQUIRE(!finished || logits == expected);
  }
  REQUIRE(scenario(spec) == expected);
  return tally;
}

}  // namespace

int main(int argc, char** argv) {
  const size_t most = argc > 2 && !std::strcmp(argv[1], "--most") ? std::strtoul(argv[2], nullptr, 10) : 200;
  std::mt19937 random(3);
  size_t models = 0, total = 0;
  while (models < 3) {
    std::vector<uint8_t> bytes(2048);
    for (auto& byte : bytes) byte = static_cast<uint8_t>(random());
    FuzzedDataProvider in(bytes.data(), bytes.size());
    fuzz::RandomSpec made = fuzz::random_spec(in);
    const int fd = memfd_create("faults", 0);
    std::vector<uint8_t> contents(made.file_bytes, 0x11);
    REQUIRE(write(fd, contents.data(), contents.size()) == static_cast<ssize_t>(contents.size()));
    made.spec.files = {"/proc/self/fd/" + std::to_string(fd)};
    std::vector<float> expected;
    try {
      if (made.spec.context_length >= 32) expected = scenario(made.spec);
    } catch (const Error&) {
    }
    if (!expected.empty()) {
      models++;
      for (const Kind kind : {Kind::kAllocation, Kind::kMapping, Kind::kThread}) {
        for (const bool always : {false, true}) {
          const Tally tally = sweep(made.spec, kind, always, most, expected);
          const char* const names[] = {"allocations", "mappings", "thread starts"};
          std::printf("model %zu, %s, %s: %zu runs, %zu failures injected\n", models, names[static_cast<int>(kind)],
                      always ? "all from one on" : "one at a time", tally.tries, tally.injected);
          total += tally.injected;
        }
      }
    }
    close(fd);
  }
  std::printf("%zu faults injected, none ended the process\n", total);
  return 0;
}
