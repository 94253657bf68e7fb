// The exactness contract as a property: random models x kernels x threads x ways of batching x aborted passes give the bits
// of the scalar kernel on one thread, one sequence and one token at a time.
#include <cstring>
#include <random>

#include "error.h"
#include "kernels/kernel.h"
#include "tests/session.h"
#include "tests/tests.h"
#include "tests/tiny_model.h"

using namespace bitnet;
using namespace bitnet::tests;

namespace {

using Tokens = std::vector<int32_t>;
using Logits = std::vector<std::vector<float>>;  // of every position

// By a context that takes one token at a time, whose buffers have no room to spare.
Logits one_by_one(const std::shared_ptr<const Model>& model, const Tokens& tokens, unsigned threads) {
  ContextOptions options;
  options.threads = threads;
  options.kv_blocks = 64;
  options.max_batch_tokens = 1;
  options.max_sequence_length = 256;
  Session session(model, options);
  const int32_t id = session.context().create_sequence();
  Logits out;
  for (const int32_t token : tokens) {
    session.submit({{id, {token}}});
    out.push_back(session.wait()->result.logits);
  }
  return out;
}

// All sequences at once, in pieces of random length, with passes that are aborted, forks that are taken up and truncations
// that are computed again. False at the first bit that differs.
bool same_bits(Session& session, const std::vector<Tokens>& texts, const std::vector<Logits>& expected, std::mt19937& random) {
  Context& context = session.context();
  std::vector<int32_t> ids;
  std::vector<size_t> at(texts.size(), 0);
  for (size_t i = 0; i < texts.size(); i++) ids.push_back(context.create_sequence());
  for (;;) {
    std::vector<std::pair<int32_t, Tokens>> runs;
    std::vector<size_t> of;
    for (size_t i = 0; i < texts.size(); i++) {
      const size_t left = texts[i].size() - at[i];
      if (!left || random() % 4 == 0) continue;
      const size_t count = 1 + random() % std::min<size_t>(left, 40);
      const auto begin = texts[i].begin() + static_cast<std::ptrdiff_t>(at[i]);
      runs.emplace_back(ids[i], Tokens(begin, begin + static_cast<std::ptrdiff_t>(count)));
      of.push_back(i);
    }
    bool over = true;
    for (size_t i = 0; i < texts.size(); i++) over &= at[i] == texts[i].size();
    if (over) break;
    if (runs.empty()) continue;
    session.submit(runs);
    if (random() % 5 == 0) context.cancel();
    const auto job = session.wait();
    if (job->error) continue;  // nothing was appended: the same is submitted again
    const size_t vocabulary = context.model().spec().vocabulary_size;
    for (size_t k = 0; k < runs.size(); k++) {
      at[of[k]] += runs[k].second.size();
      if (std::memcmp(job->result.logits.data() + k * vocabulary, expected[of[k]][at[of[k]] - 1].data(), vocabulary * sizeof(float))) {
        return false;
      }
    }
    const size_t i = random() % texts.size();
    if (random() % 3 == 0) {
      const size_t back = random() % (at[i] + 1);
      context.truncate_sequence(ids[i], back);
      at[i] = back;
    } else if (random() % 3 == 0) {
      const int32_t fork = context.fork_sequence(ids[i], at[i]);
      if (random() % 2) context.release_sequence(ids[i]);
      ids[i] = fork;
    }
  }
  return true;
}

}  // namespace

void test_exactness(Scope scope, TestResult& result) {
  const bool full = scope == Scope::kFull;
  std::mt19937 random(full ? 2 : 1);
  const int models = full ? 4 : 1, plans = full ? 6 : scope == Scope::kQuick ? 2 : 1;
  for (int m = 0; m < models; m++) {
    const TinyModel tiny(static_cast<unsigned>(random()), 1 + random() % 3);
    std::vector<Tokens> texts(3);
    for (auto& text : texts) {
      text.resize(1 + random() % 80);
      for (auto& token : text) token = static_cast<int32_t>(random() % 100);
    }
    std::vector<Logits> expected;
    const auto scalar = tiny.load("scalar", 1);
    for (const auto& text : texts) expected.push_back(one_by_one(scalar, text, 1));
    for (const auto* kernel : all_kernels()) {
      if (kernel->required & ~cpu_features()) continue;
      const auto model = tiny.load(kernel->name, 2);
      bool same = one_by_one(model, texts[0], 2) == expected[0];
      for (int plan = 0; plan < plans && same; plan++) {
        Session session(model, 1 + random() % 4);
        same = same_bits(session, texts, expected, random);
      }
      result.check(same, std::string(kernel->name) + ": logits depend on kernel, threads or batching");
    }
  }
}
