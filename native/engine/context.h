// One engine thread, its worker pool and its KV cache. Public methods are called on one (the JavaScript) thread; the
// engine thread runs jobs in order and hands each back through `on_done`.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "engine/forward.h"
#include "engine/token_guess.h"

namespace bitnet {

struct ContextOptions {
  unsigned threads = 1;
  KvType kv_type = KvType::kF16;
  size_t kv_blocks = 0;
  size_t max_batch_tokens = 0;
  size_t max_sequence_length = 0;
};

// What a caller asks of a forward pass: sequences by id, positions follow from their lengths.
struct ForwardRequest {
  std::vector<int32_t> tokens, sequences;
  std::vector<uint8_t> want;
  size_t candidates = 1;
  bool log_sum_exp = true;
  std::vector<float> temperatures;
  std::vector<int32_t> extra_ids, extra_offsets;
  std::vector<int32_t> masks, mask_of;
  // Tokens of one sequence of which the last one's candidates are wanted: the engine thread begins the next token's pass by
  // itself, with the token guessed. A request for that very pass takes it over; what else uses the sequence drops it.
  std::optional<TokenGuess> guess;
};

class Context {
 public:
  struct Job {
    Batch batch;
    std::vector<int32_t> sequences;    // one per run
    std::vector<size_t> lengths_before;
    BatchResult result;
    std::exception_ptr error;
    void* user = nullptr;  // the caller's handle
    std::optional<TokenGuess> guess;
  };
  // Called on the engine thread when a job has run; the job must come back through finish() on the caller's thread.
  using Done = std::function<void(std::unique_ptr<Job>)>;

  Context(std::shared_ptr<const Model> model, const ContextOptions& options, Done on_done);
  ~Context();

  int32_t create_sequence();
  int32_t fork_sequence(int32_t id, size_t length);
  void truncate_sequence(int32_t id, size_t length);
  void release_sequence(int32_t id);
  size_t sequence_length(int32_t id) const;

  // The bytes of a block all of whose positions are computed. Not while a pass uses the sequence; one that uses a fork
  // of it does not matter, because a full block is never written again.
  const uint8_t* full_block(int32_t id, size_t index);
  size_t block_bytes() const { return cache_.block_bytes(); }
  // Puts a full block of such bytes behind a sequence of full blocks.
  void append_block(int32_t id, const uint8_t* bytes, size_t size);

  // Validates, reserves blocks, queues. Throws Error with nothing changed.
  void submit(ForwardRequest request, void* user);
  // Takes a job's effects over: on failure its sequences get their former lengths back.
  void finish(Job& job);
  // Running and queued jobs fail with kAborted.
  void cancel();
  // Copies the logits of an output of the last finished job. Throws where there is none or a pass is running, one that the
  // engine thread began by itself included.
  std::vector<float> last_logits(size_t index);

  size_t free_blocks() const { return cache_.free_blocks(); }
  size_t total_blocks() const { return cache_.total_blocks(); }
  size_t memory_bytes() const { return cache_.bytes() + forward_.memory_bytes(); }
  const Model& model() const { return *model_; }
  const Forward& forward_pass() const { return forward_; }
  size_t jobs_in_flight() const { return in_flight_; }
  // Passes that were begun ahead, and those of them that somebody asked for.
  uint64_t begun_ahead() const { return begun_ahead_; }
  uint64_t taken_ahead() const { return taken_ahead_; }

 private:
  Sequence& find(int32_t id);
  const Sequence& find(int32_t id) const;
  void check(const ForwardRequest& request) const;
  void release_blocks(Sequence& sequence, size_t keep);
  // Makes a request the user of the pass that was begun ahead, where it is for the same.
  bool take_ahead(ForwardRequest& request, void* user);
  // Nobody will ask for the pass that was begun ahead, or for one of this sequence.
  void drop_ahead();
  void drop_ahead_of(int32_t sequence);
  void engine_thread();
  std::unique_ptr<Job> next_job();
  void run(Job& job, const std::atomic<bool>& cancelled);
  std::unique_ptr<Job> begin_ahead(const Job& job);
  std::unique_ptr<Job> taken(std::unique_ptr<Job> ahead);

  const std::shared_ptr<const Model> model_;
  const ContextOptions options_;
  const Done on_done_;
  KvCache cache_;
  Forward forward_;

  // The caller's thread only.
  std::unordered_map<int32_t, Sequence> sequences_;
  int32_t next_sequence_ = 1;
  size_t in_flight_ = 0;
  std::vector<std::pair<BlockId, BlockId>> pending_copies_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::list<std::unique_ptr<Job>> queue_;
  bool stop_ = false;
  std::atomic<bool> cancelled_{false};
  // The pass that the engine thread began by itself and still has. It holds no blocks: until somebody takes it over it
  // writes only behind its sequence's last position, before whatever a later pass writes there.
  Job* ahead_ = nullptr;  // under mutex_, as its state
  enum class Ahead : uint8_t { kOpen, kTaken, kDropped } ahead_state_ = Ahead::kOpen;
  std::condition_variable ahead_over_;
  std::atomic<bool> ahead_cancelled_{false};
  std::atomic<uint64_t> begun_ahead_{0}, taken_ahead_{0};
  std::thread thread_;
};

}  // namespace bitnet
