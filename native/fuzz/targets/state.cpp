// Keys and values of any bytes, as a saved state may hand over, beside a sequence that has none of them: what comes out of
// that one is what it gives alone, whatever stands in the others' blocks, and all blocks are free at the end.
#include "fuzz/passes.h"
#include "tests/tiny_model.h"

using namespace bitnet;
using namespace bitnet::fuzz;

namespace {

class Target {
 public:
  Target(FuzzedDataProvider& in, const std::shared_ptr<const Model>& model, const ContextOptions& options)
      : in_(in), session_(model, options), context_(session_.context()), own_(context_.create_sequence()) {}

  void run(const std::vector<std::vector<float>>& expected) {
    for (int i = in_.ConsumeIntegralInRange<int>(1, 20); i > 0 && in_.remaining_bytes(); i--) {
      const size_t free = context_.free_blocks();
      try {
        step(expected);
      } catch (const Error& e) {
        REQUIRE(is(e, kInvalidArgument) || is(e, kKvFull));
        REQUIRE(context_.free_blocks() == free);
      }
    }
    for (const int32_t id : foreign_) context_.release_sequence(id);
    forward(own_, {1}, expected);  // makes the copies that forks left to be made
    context_.release_sequence(own_);
    REQUIRE(context_.free_blocks() == context_.total_blocks());
  }

 private:
  int32_t foreign() {
    if (foreign_.empty()) foreign_.push_back(context_.create_sequence());
    return foreign_[in_.ConsumeIntegralInRange<size_t>(0, foreign_.size() - 1)];
  }

  void step(const std::vector<std::vector<float>>& expected) {
    switch (in_.ConsumeIntegralInRange<int>(0, 7)) {
      case 0: foreign_.push_back(context_.create_sequence()); break;
      case 1: {
        const int32_t id = foreign();
        foreign_.push_back(context_.fork_sequence(id, in_.ConsumeIntegralInRange<size_t>(0, context_.sequence_length(id) + 1)));
        break;
      }
      case 2: {
        const int32_t id = foreign();
        context_.truncate_sequence(id, in_.ConsumeIntegralInRange<size_t>(0, context_.sequence_length(id) + 1));
        break;
      }
      case 3: {
        const int32_t id = foreign();
        const size_t index = in_.ConsumeIntegralInRange<size_t>(0, 9);
        const uint8_t* block = context_.full_block(id, index);
        const std::vector<uint8_t> copy(block, block + context_.block_bytes());
        REQUIRE(index < context_.sequence_length(id) / kKvBlock);
        break;
      }
      case 4: {
        const std::vector<int32_t> tokens(in_.ConsumeIntegralInRange<size_t>(1, 40), 3);
        forward(foreign(), tokens, expected);
        break;
      }
      default: append(foreign());
    }
  }

  void append(int32_t id) {
    const size_t before = context_.sequence_length(id);
    const bool right = in_.ConsumeIntegralInRange<int>(0, 7) != 0;
    std::vector<uint8_t> bytes(right ? context_.block_bytes() : in_.ConsumeIntegralInRange<size_t>(0, 2 * context_.block_bytes()));
    const std::vector<uint8_t> given = in_.ConsumeBytes<uint8_t>(in_.ConsumeIntegralInRange<size_t>(1, 64));
    for (size_t i = 0; i < bytes.size() && !given.empty(); i++) bytes[i] = given[i % given.size()];
    try {
      context_.append_block(id, bytes.data(), bytes.size());
    } catch (const Error&) {
      REQUIRE(context_.sequence_length(id) == before);
      throw;
    }
    REQUIRE(context_.sequence_length(id) == before + kKvBlock);
    REQUIRE(!std::memcmp(context_.full_block(id, before / kKvBlock), bytes.data(), bytes.size()));
  }

  // A pass of a foreign sequence together with the own one's next token.
  void forward(int32_t id, std::vector<int32_t> tokens, const std::vector<std::vector<float>>& expected) {
    const size_t at = context_.sequence_length(own_);
    if (at >= expected.size()) {
      context_.truncate_sequence(own_, 0);
      return forward(id, std::move(tokens), expected);
    }
    std::vector<std::pair<int32_t, std::vector<int32_t>>> runs = {{own_, {5}}};
    if (id != own_) runs.insert(in_.ConsumeBool() ? runs.begin() : runs.end(), {id, std::move(tokens)});
    const size_t own = runs.front().first == own_ ? 0 : 1;
    session_.submit(runs);
    const std::vector<float> logits = result_of(session_).logits;
    const size_t vocabulary = expected.front().size();
    REQUIRE(logits.size() == runs.size() * vocabulary);
    REQUIRE(!std::memcmp(logits.data() + own * vocabulary, expected[at].data(), vocabulary * sizeof(float)));
  }

  FuzzedDataProvider& in_;
  Session session_;
  Context& context_;
  const int32_t own_;
  std::vector<int32_t> foreign_;
};

ContextOptions options(KvType type, unsigned threads) {
  ContextOptions o;
  o.threads = threads;
  o.kv_type = type;
  o.kv_blocks = 12;
  o.max_batch_tokens = 64;
  o.max_sequence_length = 160;
  return o;
}

// The logits behind each position of a text of one token over and over.
std::vector<std::vector<float>> alone(const std::shared_ptr<const Model>& model, KvType type) {
  Session session(model, options(type, 1));
  const int32_t id = session.context().create_sequence();
  std::vector<std::vector<float>> out;
  for (size_t i = 0; i < 40; i++) {
    session.submit({{id, {5}}});
    out.push_back(result_of(session).logits);
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const tests::TinyModel tiny(11);
  static const std::shared_ptr<const Model> models[] = {tiny.load("scalar", 1), tiny.load("", 1)};
  static const std::vector<std::vector<float>> expected[] = {alone(models[0], KvType::kF32), alone(models[0], KvType::kF16),
                                                             alone(models[0], KvType::kInt8)};
  FuzzedDataProvider in(data, size);
  const int type = in.ConsumeIntegralInRange<int>(0, 2);
  const auto& model = models[in.ConsumeIntegralInRange<size_t>(0, 1)];
  Target(in, model, options(static_cast<KvType>(type), in.ConsumeIntegralInRange<unsigned>(1, 3))).run(expected[type]);
  return 0;
}
