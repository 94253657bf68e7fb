// The exactness contract on any model: architecture, formats, kernel, threads, way of batching, abort and truncation from
// the input. The logits are those of the scalar kernel on one thread, one sequence and one token at a time, bit by bit.
#include "fuzz/passes.h"
#include "fuzz/random_model.h"

using namespace bitnet;
using namespace bitnet::fuzz;

namespace {

using Tokens = std::vector<int32_t>;

ContextOptions options(KvType type, unsigned threads, size_t length) {
  ContextOptions o;
  o.threads = threads;
  o.kv_type = type;
  o.kv_blocks = 128;
  o.max_batch_tokens = 96;
  o.max_sequence_length = length;
  return o;
}

// The logits behind each position.
std::vector<std::vector<float>> one_by_one(Session& session, const Tokens& text) {
  const int32_t id = session.context().create_sequence();
  std::vector<std::vector<float>> out;
  for (const int32_t token : text) {
    session.submit({{id, {token}}});
    out.push_back(result_of(session).logits);
  }
  session.context().release_sequence(id);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedDataProvider in(data, size);
  RandomModel made(in, 4 << 20, 4);
  if (!made) return 0;
  const size_t length = std::min<size_t>(made.spec.context_length, 72);
  const auto type = static_cast<KvType>(in.ConsumeIntegralInRange<int>(0, 2));
  LoadControl plain(made.cancelled);
  plain.sparsity = false;
  plain.head = HeadMode::kFull;

  std::vector<Tokens> texts(in.ConsumeIntegralInRange<size_t>(1, 3));
  for (auto& text : texts) {
    text.resize(in.ConsumeIntegralInRange<size_t>(1, length));
    for (auto& token : text) token = static_cast<int32_t>(in.ConsumeIntegral<uint8_t>() % made.spec.vocabulary_size);
  }
  std::vector<std::vector<std::vector<float>>> expected;
  try {
    const auto reference = Model::load(made.spec, "scalar", plain);
    Session session(reference, options(type, 1, length));
    for (const auto& text : texts) expected.push_back(one_by_one(session, text));
  } catch (const Error&) {
    return 0;  // the formats did not go together
  }
  for (const auto& text : expected) {
    for (const auto& logits : text) {
      if (!finite(logits)) return 0;
    }
  }
  const auto model = made.load();  // what the scalar kernel takes all take
  Session session(model, options(type, made.control.threads, length));
  Context& context = session.context();
  std::vector<int32_t> ids;
  std::vector<size_t> at(texts.size(), 0);
  for (size_t i = 0; i < texts.size(); i++) ids.push_back(context.create_sequence());
  for (int steps = 0; steps < 24; steps++) {
    std::vector<std::pair<int32_t, Tokens>> runs;
    std::vector<size_t> of;
    size_t room = 96;
    for (size_t i = 0; i < texts.size(); i++) {
      const size_t left = std::min(texts[i].size() - at[i], room);
      // Without input left all there is is taken.
      const size_t count = in.remaining_bytes() ? in.ConsumeIntegralInRange<size_t>(0, left) : left;
      if (!count) continue;
      const auto begin = texts[i].begin() + static_cast<std::ptrdiff_t>(at[i]);
      runs.emplace_back(ids[i], Tokens(begin, begin + static_cast<std::ptrdiff_t>(count)));
      of.push_back(i);
      room -= count;
    }
    if (!runs.empty()) {
      session.submit(runs);
      if (in.ConsumeIntegralInRange<int>(0, 7) == 7) context.cancel();
      const auto job = session.wait();
      if (job->error) continue;  // aborted: nothing was appended
      const size_t vocabulary = model->spec().vocabulary_size;
      for (size_t k = 0; k < runs.size(); k++) {
        at[of[k]] += runs[k].second.size();
        const auto& right = expected[of[k]][at[of[k]] - 1];
        REQUIRE(!std::memcmp(job->result.logits.data() + k * vocabulary, right.data(), vocabulary * sizeof(float)));
      }
    }
    if (!in.remaining_bytes()) break;
    const size_t i = in.ConsumeIntegralInRange<size_t>(0, texts.size() - 1);
    switch (in.ConsumeIntegralInRange<int>(0, 3)) {
      case 0:
        at[i] = in.ConsumeIntegralInRange<size_t>(0, at[i]);
        context.truncate_sequence(ids[i], at[i]);
        break;
      case 1: {
        const int32_t fork = context.fork_sequence(ids[i], at[i]);
        if (in.ConsumeBool()) context.release_sequence(ids[i]);
        ids[i] = fork;
        break;
      }
      case 2: {
        // Full blocks, as a state file takes them to another sequence.
        const size_t blocks = at[i] / kKvBlock;
        const int32_t copy = context.create_sequence();
        for (size_t b = 0; b < blocks; b++) context.append_block(copy, context.full_block(ids[i], b), context.block_bytes());
        context.release_sequence(ids[i]);
        ids[i] = copy;
        at[i] = blocks * kKvBlock;
        break;
      }
      default: break;
    }
  }
  return 0;
}
