// Contexts under stress, for ThreadSanitizer above all: forward passes, cancelling and closing at any moment, several
// contexts of one model, loads that are given up.
#include <cstring>
#include <fstream>
#include <random>
#include <thread>

#include "error.h"
#include "tests/session.h"
#include "tests/tests.h"
#include "tests/tiny_model.h"

using namespace bitnet;
using namespace bitnet::tests;

namespace {

void cancelling(const TinyModel& tiny, int rounds, TestResult& result) {
  Session session(tiny.load(), 3);
  Context& context = session.context();
  int aborted = 0;
  bool whole = true;
  for (int i = 0; i < rounds; i++) {
    const int32_t id = context.create_sequence();
    session.submit({{id, std::vector<int32_t>(100, i % 100)}});
    if (i % 3) std::this_thread::sleep_for(std::chrono::microseconds(i * 13 % 400));
    context.cancel();
    const auto job = session.wait();
    aborted += job->error != nullptr;
    // An aborted pass leaves the sequence as it was.
    whole &= context.sequence_length(id) == (job->error ? 0u : 100u);
    context.release_sequence(id);
  }
  result.check(whole, "an aborted pass leaves its sequence as it was");
  result.check(context.free_blocks() == context.total_blocks(), "blocks are left after aborted passes");
  result.check(aborted > 0, "no pass of " + std::to_string(rounds) + " was aborted");
}

void closing(const TinyModel& tiny, int rounds, TestResult& result) {
  const auto model = tiny.load();
  for (int i = 0; i < rounds; i++) {
    Session session(model, 3);
    for (int k = 0; k < 3; k++) session.submit({{session.context().create_sequence(), std::vector<int32_t>(60, k)}});
    if (i % 2) session.wait();
    std::this_thread::sleep_for(std::chrono::microseconds(i * 37 % 500));
  }
  result.check(model.use_count() == 1, "a closed context holds the model");
}

void sharing(const TinyModel& tiny, int rounds, TestResult& result) {
  const auto model = tiny.load();
  std::atomic<int> wrong{0};
  std::vector<float> expected;
  auto logits = [&](Session& session, int seed) {
    const int32_t id = session.context().create_sequence();
    session.submit({{id, {1, 2, 3, seed % 100}}});
    auto values = session.wait()->result.logits;
    session.context().release_sequence(id);
    return values;
  };
  {
    Session session(model, 1);
    expected = logits(session, 7);
  }
  std::vector<std::thread> users;
  for (unsigned user = 0; user < 3; user++) {
    users.emplace_back([&, user] {
      Session session(model, user + 1);
      for (int i = 0; i < rounds; i++) {
        logits(session, i);
        if (logits(session, 7) != expected) wrong++;
      }
    });
  }
  for (auto& user : users) user.join();
  result.check(wrong == 0, "contexts of one model disturb each other");
}

void giving_up(const TinyModel& tiny, int rounds, TestResult& result) {
  bool typed = true;
  for (int i = 0; i < rounds; i++) {
    std::atomic<bool> cancelled{false};
    std::thread other([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(i * 41 % 1500));
      cancelled = true;
    });
    try {
      tiny.load("scalar", 3, cancelled);
    } catch (const Error& e) {
      typed &= std::string(e.code) == kAborted;
    }
    other.join();
  }
  result.check(typed, "a load that was given up ends by another error");
}

// A pass that fails makes the copies of forks nevertheless, once: one that is queued behind it writes into them.
void failing(TestResult& result) {
  const TinyModel tiny(6);
  {
    // A row of the head that is no number: a pass that wants candidates fails at its end.
    const TensorRef& t = tiny.spec().token_embedding;
    const std::vector<char> nothing(t.columns * 4, '\xff');
    std::fstream file(tiny.spec().files.front(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(t.offset + (t.rows - 1) * nothing.size()));
    file.write(nothing.data(), static_cast<std::streamsize>(nothing.size()));
  }
  Session session(tiny.load(), 2);
  Context& context = session.context();
  auto logits = [&](int32_t id, const std::vector<int32_t>& tokens) {
    session.submit({{id, tokens}});
    return session.wait()->result.logits;
  };
  const int32_t source = context.create_sequence(), plain = context.create_sequence();
  logits(source, {1, 2, 3});
  logits(plain, {1, 2, 3});
  logits(plain, {4});
  const std::vector<float> expected = logits(plain, {5});
  const int32_t fork = context.fork_sequence(source, 3);
  ForwardRequest r;
  r.tokens = {1};
  r.sequences = {context.create_sequence()};
  r.candidates = tiny.spec().vocabulary_size;
  r.want = {1};
  context.submit(std::move(r), nullptr);
  session.submit({{fork, {4}}});
  result.check(session.wait()->error != nullptr, "candidates where a score is no number are an error");
  session.wait();
  const std::vector<float> got = logits(fork, {5});
  result.check(!std::memcmp(got.data(), expected.data(), got.size() * sizeof(float)),
               "a pass behind one that failed keeps what it wrote into a fork's copy");
}

// One text by two contexts, of which one begins passes ahead: the same candidates and lengths, whatever is done between two
// tokens.
class Twins {
 public:
  Twins(const TinyModel& tiny, unsigned seed) : random_(seed), ahead_(tiny.load(), 2, kBlocks), plain_(tiny.load(), 1, kBlocks) {
    for (int32_t i = 0; i < 33; i++) next_.push_back(i * 7 % 100);
    begin();
  }

  // False where the contexts differ.
  bool step() {
    interfere();
    if (length() + next_.size() > 200) start_anew();
    const bool guess = random_() % 8 != 0;
    for (Session* session : {&ahead_, &plain_}) {
      ForwardRequest r;
      r.tokens = next_;
      r.sequences.assign(next_.size(), id_);
      r.want.assign(next_.size(), 0);
      r.want.back() = 1;
      r.candidates = 5;
      r.log_sum_exp = false;
      if (guess && session == &ahead_) r.guess = TokenGuess{unit_, {{TokenGuess::Step::kTemperature, 0.7}}, {3, 50}};
      session->context().submit(std::move(r), nullptr);
    }
    const bool cancels = random_() % 16 == 0;
    if (cancels) ahead_.context().cancel();
    auto got = ahead_.wait();
    const auto expected = plain_.wait();
    if (got->error) {
      if (!cancels) return false;
      next_ = {1};
      start_anew();
      return true;
    }
    text_.insert(text_.end(), next_.begin(), next_.end());
    const BatchResult& r = expected->result;
    // Mostly what was guessed; sometimes another candidate.
    const TokenGuess same{unit_, {{TokenGuess::Step::kTemperature, 0.7}}, {}};
    next_ = {random_() % 8 ? same(r.candidate_ids.data(), r.candidate_logits.data(), 5) : r.candidate_ids[random_() % 5]};
    unit_ = static_cast<double>(random_() % 1000) / 1000;
    return got->result.candidate_ids == r.candidate_ids && got->result.candidate_logits == r.candidate_logits &&
           length() == text_.size() && plain_.context().sequence_length(id_) == text_.size() &&
           ahead_.context().free_blocks() == plain_.context().free_blocks();
  }

  Context& context() { return ahead_.context(); }

 private:
  static constexpr size_t kBlocks = 8;

  size_t length() { return ahead_.context().sequence_length(id_); }

  void begin() {
    id_ = ahead_.context().create_sequence();
    plain_.context().create_sequence();
  }

  // A new sequence from the text's first blocks, as a saved state gives it.
  void start_anew() {
    const size_t blocks = text_.size() / kKvBlock;
    std::vector<std::vector<uint8_t>> saved;
    const size_t bytes = plain_.context().block_bytes();
    for (size_t i = 0; i < blocks && plain_.context().sequence_length(id_) >= kKvBlock * (i + 1); i++) {
      const uint8_t* block = plain_.context().full_block(id_, i);
      saved.emplace_back(block, block + bytes);
    }
    saved.resize(std::min<size_t>(saved.size(), 2));
    const int32_t old = id_;
    for (Session* session : {&ahead_, &plain_}) session->context().release_sequence(old);
    begin();
    for (Session* session : {&ahead_, &plain_}) {
      for (const auto& block : saved) session->context().append_block(id_, block.data(), bytes);
    }
    text_.resize(saved.size() * kKvBlock);
  }

  void interfere() {
    const size_t kept = text_.empty() ? 0 : random_() % text_.size();
    switch (random_() % 24) {
      case 0:
        for (Session* session : {&ahead_, &plain_}) session->context().truncate_sequence(id_, kept);
        text_.resize(kept);
        break;
      case 1:
        start_anew();
        break;
      case 2: {
        const int32_t old = id_;
        for (Session* session : {&ahead_, &plain_}) {
          id_ = session->context().fork_sequence(old, kept);
          session->context().release_sequence(old);
        }
        text_.resize(kept);
        break;
      }
      case 3:
        std::this_thread::sleep_for(std::chrono::microseconds(random_() % 300));
        break;
    }
  }

  std::mt19937 random_;
  Session ahead_, plain_;
  std::vector<int32_t> text_, next_;
  int32_t id_ = 0;
  double unit_ = 0;
};

void ahead(const TinyModel& tiny, int rounds, TestResult& result) {
  bool same = true;
  uint64_t begun = 0, taken = 0;
  for (int i = 0; i < rounds; i++) {
    Twins twins(tiny, static_cast<unsigned>(i));
    for (int k = 0; k < 60 && same; k++) same = twins.step();
    begun += twins.context().begun_ahead();
    taken += twins.context().taken_ahead();
  }
  result.check(same, "a pass that was begun ahead changes what comes out");
  result.check(taken > begun / 2 && taken < begun, "of " + std::to_string(begun) + " passes that were begun ahead " +
                                                      std::to_string(taken) + " were taken over");
}

// A model whose positions turn by angles that nothing can be told of is refused.
void damaged_rope(const TinyModel& tiny, TestResult& result) {
  const auto refused = [&](double scale, double factor) {
    ModelSpec spec = tiny.spec();
    spec.rope.position_scale = scale;
    spec.rope.factors.assign(spec.rope.dimensions / 2, 1.0);
    spec.rope.factors.back() = factor;
    const std::atomic<bool> cancelled{false};
    LoadControl control(cancelled);
    try {
      Model::load(std::move(spec), "", control);
      return false;
    } catch (const Error& error) {
      return std::strcmp(error.code, kUnsupportedModel) == 0;
    }
  };
  result.check(refused(1e300, 1), "a huge position scale was not refused");
  result.check(refused(1, 1e-300), "a tiny RoPE factor was not refused");
  result.check(!refused(2, 0.5), "an ordinary scale was refused");
}

}  // namespace

void test_contexts(Scope scope, TestResult& result) {
  const TinyModel tiny(5);
  const int rounds = scope == Scope::kFull ? 200 : scope == Scope::kQuick ? 25 : 7;
  cancelling(tiny, rounds, result);
  closing(tiny, rounds, result);
  sharing(tiny, rounds, result);
  giving_up(tiny, rounds, result);
  failing(result);
  ahead(tiny, rounds, result);
  damaged_rope(tiny, result);
}
