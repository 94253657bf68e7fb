#include "engine/context.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "error.h"

namespace bitnet {
namespace {

[[noreturn]] void invalid(const std::string& message) { throw Error(kInvalidArgument, message); }

size_t blocks_for(size_t positions) { return (positions + kKvBlock - 1) / kKvBlock; }

}  // namespace

Context::Context(std::shared_ptr<const Model> model, const ContextOptions& options, Done on_done)
    : model_(std::move(model)),
      options_(options),
      on_done_(std::move(on_done)),
      cache_(model_->spec(), options.kv_type, options.kv_blocks),
      forward_(*model_, cache_, options.threads, options.max_batch_tokens, options.max_sequence_length),
      thread_([this] { engine_thread(); }) {}

Context::~Context() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
    cancelled_ = true;
    ahead_cancelled_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

Sequence& Context::find(int32_t id) {
  const auto it = sequences_.find(id);
  if (it == sequences_.end()) invalid("There is no sequence " + std::to_string(id) + ".");
  return it->second;
}

const Sequence& Context::find(int32_t id) const { return const_cast<Context*>(this)->find(id); }

int32_t Context::create_sequence() {
  const int32_t id = next_sequence_++;
  sequences_.emplace(id, Sequence{});
  return id;
}

int32_t Context::fork_sequence(int32_t id, size_t length) {
  const Sequence& source = find(id);
  if (length > source.length) invalid("A fork of " + std::to_string(length) + " positions is longer than its source.");
  if (source.in_flight) invalid("A sequence cannot be forked while a forward pass uses it.");
  Sequence fork;
  fork.length = length;
  const size_t whole = length / kKvBlock;
  fork.blocks.reserve(whole + 1);
  fork.blocks.assign(source.blocks.begin(), source.blocks.begin() + static_cast<std::ptrdiff_t>(whole));
  pending_copies_.reserve(pending_copies_.size() + 1);
  const int32_t result = next_sequence_++;
  const auto place = sequences_.emplace(result, Sequence{}).first;
  if (length % kKvBlock) {
    BlockId copy;
    try {
      copy = cache_.allocate();
    } catch (...) {
      sequences_.erase(place);
      throw;
    }
    // Nothing below can fail.
    fork.blocks.push_back(copy);
    // The copy is made by the engine thread before the next pass. Both blocks are held until then.
    cache_.hold(source.blocks[whole]);
    cache_.hold(copy);
    pending_copies_.emplace_back(source.blocks[whole], copy);
  }
  for (size_t i = 0; i < whole; i++) cache_.hold(fork.blocks[i]);
  place->second = std::move(fork);
  return result;
}

void Context::release_blocks(Sequence& sequence, size_t keep) {
  while (sequence.blocks.size() > keep) {
    cache_.release(sequence.blocks.back());
    sequence.blocks.pop_back();
  }
}

void Context::truncate_sequence(int32_t id, size_t length) {
  Sequence& sequence = find(id);
  if (length > sequence.length) invalid("A sequence cannot be truncated to more positions than it has.");
  if (sequence.in_flight) invalid("A sequence cannot be truncated while a forward pass uses it.");
  drop_ahead_of(id);
  const size_t keep = blocks_for(length);
  // A block that is shared must not be written again: what follows goes to a copy.
  if (length % kKvBlock && cache_.shared(sequence.blocks[keep - 1])) {
    pending_copies_.reserve(pending_copies_.size() + 1);
    const BlockId copy = cache_.allocate(), shared = sequence.blocks[keep - 1];
    release_blocks(sequence, keep);
    cache_.hold(copy);
    pending_copies_.emplace_back(shared, copy);  // takes over the sequence's hold on `shared`
    sequence.blocks.back() = copy;
  } else {
    release_blocks(sequence, keep);
  }
  sequence.length = length;
}

void Context::release_sequence(int32_t id) {
  release_blocks(find(id), 0);
  drop_ahead_of(id);
  sequences_.erase(id);
}

size_t Context::sequence_length(int32_t id) const { return find(id).length; }

const uint8_t* Context::full_block(int32_t id, size_t index) {
  const Sequence& sequence = find(id);
  if (sequence.in_flight) invalid("A sequence cannot be read while a forward pass uses it.");
  if (index >= sequence.length / kKvBlock) invalid("Only blocks of which all positions are computed can be read.");
  return cache_.block(sequence.blocks[index]);
}

void Context::append_block(int32_t id, const uint8_t* bytes, size_t size) {
  Sequence& sequence = find(id);
  if (sequence.in_flight) invalid("A sequence cannot be extended while a forward pass uses it.");
  if (sequence.length % kKvBlock) invalid("A block can only be put behind full blocks.");
  if (sequence.length + kKvBlock > options_.max_sequence_length) invalid("The sequence would exceed its positions.");
  if (size != cache_.block_bytes()) {
    invalid("A block has " + std::to_string(cache_.block_bytes()) + " bytes, not " + std::to_string(size) + ".");
  }
  sequence.blocks.reserve(sequence.blocks.size() + 1);
  const BlockId block = cache_.allocate();
  {
    // The block may be one that a pass which was dropped has not yet stopped writing to: for a layer's time at most.
    drop_ahead();
    std::unique_lock<std::mutex> lock(mutex_);
    ahead_over_.wait(lock, [this] { return !ahead_ || ahead_state_ == Ahead::kTaken; });
  }
  std::memcpy(cache_.block(block), bytes, size);
  sequence.blocks.push_back(block);
  sequence.length += kKvBlock;
}

void Context::check(const ForwardRequest& r) const {
  const size_t n = r.tokens.size();
  if (n == 0 || n > options_.max_batch_tokens) {
    invalid("A batch has 1 to " + std::to_string(options_.max_batch_tokens) + " tokens, not " + std::to_string(n) + ".");
  }
  if (r.sequences.size() != n || r.want.size() != n) invalid("tokens, sequences and want must have the same length.");
  const auto vocabulary = static_cast<int32_t>(model_->spec().vocabulary_size);
  size_t outputs = 0;
  for (size_t i = 0; i < n; i++) {
    if (r.tokens[i] < 0 || r.tokens[i] >= vocabulary) {
      invalid("Token " + std::to_string(r.tokens[i]) + " is not in the vocabulary of " + std::to_string(vocabulary) + ".");
    }
    if (r.want[i] > 3) invalid("want must be 0, 1, 2 or 3.");
    outputs += r.want[i] == 1;
  }
  if (r.candidates < 1 || r.candidates > 4096) invalid("candidates must be 1 to 4096.");
  if (!r.temperatures.empty()) {
    if (r.temperatures.size() != outputs) invalid("temperatures must have one entry per output with candidates.");
    for (float t : r.temperatures) {
      if (!(t > 0) || t > 1e6f) invalid("A temperature must be above 0 and at most 1e6.");
    }
  }
  const size_t words = (static_cast<size_t>(vocabulary) + 31) / 32;
  if (!r.mask_of.empty() && r.mask_of.size() != outputs) invalid("maskOf must have one entry per output with candidates.");
  if (r.masks.size() % words != 0) invalid("masks must have " + std::to_string(words) + " words each.");
  for (int32_t mask : r.mask_of) {
    if (mask < -1 || mask >= static_cast<int32_t>(r.masks.size() / words)) invalid("An entry of maskOf is no mask.");
  }
  if (r.extra_offsets.empty()) {
    if (!r.extra_ids.empty()) invalid("extraIds needs extraOffsets.");
    return;
  }
  if (r.extra_offsets.size() != outputs + 1) invalid("extraOffsets must have one entry more than there are outputs.");
  if (r.extra_offsets.front() != 0 || static_cast<size_t>(r.extra_offsets.back()) != r.extra_ids.size() ||
      !std::is_sorted(r.extra_offsets.begin(), r.extra_offsets.end())) {
    invalid("extraOffsets must rise from 0 to extraIds.length.");
  }
  for (int32_t id : r.extra_ids) {
    if (id < 0 || id >= vocabulary) invalid("An id of extraIds is not in the vocabulary.");
  }
}

bool Context::take_ahead(ForwardRequest& request, void* user) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!ahead_ || ahead_state_ != Ahead::kOpen || !pending_copies_.empty()) return false;
  Batch& batch = ahead_->batch;
  if (request.tokens != batch.tokens || request.sequences != ahead_->sequences || request.want.front() != 1) return false;
  if (request.candidates != batch.candidates || request.log_sum_exp != batch.log_sum_exp) return false;
  if (request.temperatures != batch.temperatures) return false;
  if (!request.extra_offsets.empty() || !request.masks.empty() || !request.mask_of.empty()) return false;
  Sequence& sequence = find(ahead_->sequences.front());
  if (sequence.in_flight || sequence.length != batch.runs.front().start_position) return false;
  sequence.length++;
  sequence.in_flight++;
  for (BlockId block : batch.runs.front().blocks) cache_.hold(block);
  in_flight_++;
  ahead_->user = user;
  ahead_->guess = std::move(request.guess);
  ahead_state_ = Ahead::kTaken;
  taken_ahead_++;
  wake_.notify_one();
  return true;
}

void Context::drop_ahead() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!ahead_ || ahead_state_ != Ahead::kOpen) return;
  ahead_state_ = Ahead::kDropped;
  ahead_cancelled_ = true;
  wake_.notify_one();
}

void Context::drop_ahead_of(int32_t sequence) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!ahead_ || ahead_->sequences.front() != sequence) return;
  }
  drop_ahead();
}

void Context::submit(ForwardRequest request, void* user) {
  check(request);
  if (take_ahead(request, user)) return;
  drop_ahead();
  auto job = std::make_unique<Job>();
  job->user = user;
  const size_t n = request.tokens.size();
  size_t needed = 0;
  for (size_t i = 0; i < n;) {
    const int32_t id = request.sequences[i];
    const size_t first = i;
    while (i < n && request.sequences[i] == id) i++;
    if (std::find(job->sequences.begin(), job->sequences.end(), id) != job->sequences.end()) {
      invalid("The tokens of sequence " + std::to_string(id) + " are not contiguous.");
    }
    const Sequence& sequence = find(id);
    if (sequence.in_flight) invalid("Sequence " + std::to_string(id) + " is already in a running forward pass.");
    const size_t end = sequence.length + (i - first);
    if (end > options_.max_sequence_length) {
      invalid("Sequence " + std::to_string(id) + " would exceed its " + std::to_string(options_.max_sequence_length) +
              " positions.");
    }
    needed += blocks_for(end) - sequence.blocks.size();
    job->sequences.push_back(id);
    job->lengths_before.push_back(sequence.length);
    job->batch.runs.push_back({first, i - first, sequence.length, {}});
  }
  if (needed > cache_.free_blocks()) {
    throw Error(kKvFull, "The KV cache has " + std::to_string(cache_.free_blocks()) + " free blocks of " +
                             std::to_string(kKvBlock) + " positions, the batch needs " + std::to_string(needed) + ".");
  }
  for (size_t i = 0; i < job->sequences.size(); i++) {
    Run& run = job->batch.runs[i];
    const size_t blocks = blocks_for(run.start_position + run.count);
    find(job->sequences[i]).blocks.reserve(blocks);
    run.blocks.reserve(blocks);
  }
  job->batch.want.reserve(n);
  std::list<std::unique_ptr<Job>> queued;
  queued.push_back(std::move(job));
  // Nothing below can fail: all memory is there.
  Job& made = *queued.front();
  for (size_t i = 0; i < made.sequences.size(); i++) {
    Sequence& sequence = find(made.sequences[i]);
    Run& run = made.batch.runs[i];
    sequence.length += run.count;
    while (sequence.blocks.size() < blocks_for(sequence.length)) sequence.blocks.push_back(cache_.allocate());
    sequence.in_flight++;
    run.blocks = sequence.blocks;
    for (BlockId block : run.blocks) cache_.hold(block);
  }
  made.batch.tokens = std::move(request.tokens);
  for (uint8_t w : request.want) made.batch.want.push_back(static_cast<Want>(w));
  made.batch.candidates = request.candidates;
  made.batch.log_sum_exp = request.log_sum_exp;
  made.batch.temperatures = std::move(request.temperatures);
  made.batch.extra_ids = std::move(request.extra_ids);
  made.batch.extra_offsets = std::move(request.extra_offsets);
  made.batch.masks = std::move(request.masks);
  made.batch.mask_of = std::move(request.mask_of);
  made.batch.copies.swap(pending_copies_);
  made.guess = std::move(request.guess);
  in_flight_++;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    queue_.splice(queue_.end(), queued);
  }
  wake_.notify_one();
}

void Context::finish(Job& job) {
  in_flight_--;
  if (in_flight_ == 0) cancelled_ = false;
  // A pass begins with its copies, so that they are made however it ended. Made again by a later pass, they would undo what
  // one that was queued behind this wrote there.
  for (const auto& [from, to] : job.batch.copies) {
    cache_.release(from);
    cache_.release(to);
  }
  for (size_t i = 0; i < job.sequences.size(); i++) {
    for (BlockId block : job.batch.runs[i].blocks) cache_.release(block);
    const auto it = sequences_.find(job.sequences[i]);
    if (it == sequences_.end()) continue;  // released meanwhile
    it->second.in_flight--;
    if (job.error) {
      it->second.length = job.lengths_before[i];
      release_blocks(it->second, blocks_for(it->second.length));
    }
  }
}

void Context::cancel() {
  if (in_flight_) cancelled_ = true;
  drop_ahead();
  std::lock_guard<std::mutex> lock(mutex_);
  if (ahead_) ahead_cancelled_ = true;
}

std::vector<float> Context::last_logits(size_t index) {
  if (in_flight_) invalid("lastLogits cannot be read while a forward pass runs.");
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (ahead_) invalid("lastLogits cannot be read while a forward pass runs.");
  }
  if (index >= forward_.output_head().outputs()) {
    invalid("The last forward pass has no output " + std::to_string(index) + ".");
  }
  return forward_.output_head().logits(index);
}

void Context::engine_thread() {
  while (std::unique_ptr<Job> job = next_job()) {
    run(*job, cancelled_);
    while (job) {
      std::unique_ptr<Job> ahead = begin_ahead(*job);
      on_done_(std::move(job));
      if (!ahead) break;
      run(*ahead, ahead_cancelled_);
      job = taken(std::move(ahead));
    }
  }
}

std::unique_ptr<Context::Job> Context::next_job() {
  std::unique_lock<std::mutex> lock(mutex_);
  wake_.wait(lock, [this] { return stop_ || !queue_.empty(); });
  if (queue_.empty()) return nullptr;
  auto job = std::move(queue_.front());
  queue_.pop_front();
  return job;
}

void Context::run(Job& job, const std::atomic<bool>& cancelled) {
  const bool with_packed = model_->reads_packed_file();
  try {
    job.result = forward_.run(job.batch, cancelled);
  } catch (...) {
    job.error = std::current_exception();
  }
  try {
    model_->require_whole_files(with_packed);
  } catch (...) {
    job.error = std::current_exception();  // where a page was lost, that is the reason
  }
}

// The pass of the token that will follow a job's, where it can be told and where the blocks have room for it. From here on
// it can be taken over or dropped.
std::unique_ptr<Context::Job> Context::begin_ahead(const Job& job) {
  const Batch& batch = job.batch;
  if (!job.guess || job.error || batch.runs.size() != 1 || batch.want.back() != Want::kCandidates) return nullptr;
  const Run& run = batch.runs.front();
  const size_t position = run.start_position + run.count;
  if (position % kKvBlock == 0 || position >= options_.max_sequence_length || !batch.extra_ids.empty()) return nullptr;
  const size_t outputs = static_cast<size_t>(std::count(batch.want.begin(), batch.want.end(), Want::kCandidates));
  if (outputs != 1 || !batch.mask_of.empty()) return nullptr;
  const BatchResult& result = job.result;
  const int32_t token = (*job.guess)(result.candidate_ids.data(), result.candidate_logits.data(), result.candidate_ids.size());
  if (token < 0) return nullptr;
  std::unique_ptr<Job> ahead;
  try {
    ahead = std::make_unique<Job>();
    ahead->batch.tokens = {token};
    ahead->batch.runs.push_back({0, 1, position, run.blocks});
    ahead->batch.want = {Want::kCandidates};
    ahead->batch.candidates = batch.candidates;
    ahead->batch.log_sum_exp = batch.log_sum_exp;
    ahead->batch.temperatures = batch.temperatures;
    ahead->sequences = job.sequences;
    ahead->lengths_before = {position};
  } catch (const std::bad_alloc&) {
    return nullptr;  // it is only begun when it is asked for, then
  }
  std::lock_guard<std::mutex> lock(mutex_);
  if (stop_ || cancelled_ || !queue_.empty()) return nullptr;
  ahead_ = ahead.get();
  ahead_state_ = Ahead::kOpen;
  ahead_cancelled_ = false;
  begun_ahead_++;
  return ahead;
}

// Waits until it is known whether somebody wants a pass that was begun ahead; null: nobody does.
std::unique_ptr<Context::Job> Context::taken(std::unique_ptr<Job> ahead) {
  std::unique_lock<std::mutex> lock(mutex_);
  wake_.wait(lock, [this] { return stop_ || ahead_state_ != Ahead::kOpen; });
  ahead_ = nullptr;
  if (ahead_state_ != Ahead::kTaken) ahead = nullptr;
  ahead_over_.notify_all();
  return ahead;
}

}  // namespace bitnet
