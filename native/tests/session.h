// Plays the JavaScript thread of a context: submits, waits, takes over.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>

#include "engine/context.h"

namespace bitnet::tests {

class Session {
 public:
  Session(std::shared_ptr<const Model> model, unsigned threads, size_t blocks = 64)
      : Session(std::move(model), options(threads, blocks)) {}
  Session(std::shared_ptr<const Model> model, const ContextOptions& options)
      : context_(std::move(model), options, [this](std::unique_ptr<Context::Job> job) {
          std::lock_guard<std::mutex> lock(mutex_);
          finished_.push_back(std::move(job));
          arrived_.notify_one();
        }) {}

  Context& context() { return context_; }

  // Tokens of sequences, one after another; all logits of each one's last token are wanted.
  void submit(const std::vector<std::pair<int32_t, std::vector<int32_t>>>& runs) {
    ForwardRequest r;
    for (const auto& [id, tokens] : runs) {
      for (size_t i = 0; i < tokens.size(); i++) {
        r.tokens.push_back(tokens[i]);
        r.sequences.push_back(id);
        r.want.push_back(i + 1 == tokens.size() ? 2 : 0);
      }
    }
    context_.submit(std::move(r), nullptr);
  }

  // The next job that comes back, taken over.
  std::unique_ptr<Context::Job> wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    arrived_.wait(lock, [this] { return !finished_.empty(); });
    auto job = std::move(finished_.front());
    finished_.pop_front();
    lock.unlock();
    context_.finish(*job);
    return job;
  }

 private:
  static ContextOptions options(unsigned threads, size_t blocks) {
    ContextOptions o;
    o.threads = threads;
    o.kv_blocks = blocks;
    o.max_batch_tokens = 128;
    o.max_sequence_length = 256;
    return o;
  }

  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::unique_ptr<Context::Job>> finished_;
  Context context_;  // last: its thread uses the members above
};

}  // namespace bitnet::tests
