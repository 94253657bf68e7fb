// Batch plans out of range: every list of a request of any length with any numbers. What is refused changes nothing, by an
// error of the right kind; of what is taken, the results have the sizes that were asked for, candidates are the best of the
// whole row that their mask allows, and extra logits agree with it.
#include <algorithm>

#include "fuzz/passes.h"
#include "tests/tiny_model.h"

using namespace bitnet;
using namespace bitnet::fuzz;

namespace {

constexpr size_t kVocabulary = 100, kMostTokens = 40, kPositions = 96;
constexpr size_t kMaskWords = (kVocabulary + 31) / 32;

template <class T, class Draw>
std::vector<T> list(FuzzedDataProvider& in, size_t length, Draw&& draw) {
  if (in.ConsumeIntegralInRange<int>(0, 31) == 0) length = in.ConsumeIntegralInRange<size_t>(0, 60);
  std::vector<T> out(length);
  for (auto& value : out) value = in.ConsumeIntegralInRange<int>(0, 63) == 0 ? static_cast<T>(in.ConsumeIntegral<int32_t>()) : draw();
  return out;
}

// Masks of none, one, some, most and all tokens, also with bits that stand for no token; now and then not whole ones.
void draw_masks(FuzzedDataProvider& in, size_t outputs, ForwardRequest& r) {
  const int32_t masks = in.ConsumeIntegralInRange<int32_t>(0, 4);
  for (size_t word = 0; word < static_cast<size_t>(masks) * kMaskWords; word++) {
    const auto one = static_cast<int32_t>(uint32_t{1} << in.ConsumeIntegralInRange<int>(0, 31));
    r.masks.push_back(in.PickValueInArray({0, 0, -1, one, ~one, in.ConsumeIntegral<int32_t>()}));
  }
  if (in.ConsumeIntegralInRange<int>(0, 15) == 0) r.masks.resize(in.ConsumeIntegralInRange<size_t>(0, 5 * kMaskWords));
  r.mask_of = list<int32_t>(in, outputs, [&] { return in.ConsumeIntegralInRange<int32_t>(-1, masks - 1); });
}

ForwardRequest request(FuzzedDataProvider& in, const std::vector<int32_t>& sequences) {
  ForwardRequest r;
  const size_t n = in.ConsumeIntegralInRange<size_t>(0, 44);
  r.tokens = list<int32_t>(in, n, [&] { return in.ConsumeIntegralInRange<int32_t>(0, kVocabulary - 1); });
  size_t which = 0;
  r.sequences = list<int32_t>(in, n, [&] {
    if (in.ConsumeIntegralInRange<int>(0, 7) == 0) which++;
    return sequences[which % sequences.size()];
  });
  r.want = list<uint8_t>(in, n, [&] { return in.ConsumeIntegralInRange<uint8_t>(0, 3); });
  const auto outputs = static_cast<size_t>(std::count(r.want.begin(), r.want.end(), 1));
  constexpr size_t kCandidates[] = {0, 1, 100, 101, 4096, 4097, SIZE_MAX};
  r.candidates = in.ConsumeBool() ? in.ConsumeIntegralInRange<size_t>(1, 12) : in.PickValueInArray(kCandidates);
  r.log_sum_exp = in.ConsumeBool();
  if (in.ConsumeBool()) {
    r.temperatures.resize(in.ConsumeIntegralInRange<int>(0, 15) ? outputs : in.ConsumeIntegralInRange<size_t>(0, 50));
    for (auto& t : r.temperatures) t = in.ConsumeIntegralInRange<int>(0, 15) ? 0.5f : in.ConsumeFloatingPoint<float>();
  }
  if (in.ConsumeBool()) {
    r.extra_offsets = {0};
    for (size_t i = 0; i < outputs; i++) {
      r.extra_offsets.push_back(r.extra_offsets.back() + in.ConsumeIntegralInRange<int32_t>(0, 3));
    }
    r.extra_ids = list<int32_t>(in, static_cast<size_t>(r.extra_offsets.back()),
                                [&] { return in.ConsumeIntegralInRange<int32_t>(0, kVocabulary - 1); });
    if (in.ConsumeIntegralInRange<int>(0, 15) == 0) {
      r.extra_offsets[in.ConsumeIntegralInRange<size_t>(0, outputs)] = in.ConsumeIntegral<int32_t>();
    }
  }
  if (in.ConsumeBool()) draw_masks(in, outputs, r);
  return r;
}

bool allowed(const ForwardRequest& r, size_t output, size_t id) {
  if (r.mask_of.empty() || r.mask_of[output] < 0) return true;
  const int32_t word = r.masks[static_cast<size_t>(r.mask_of[output]) * kMaskWords + id / 32];
  return static_cast<uint32_t>(word) >> (id % 32) & 1;
}

// The candidates of an output against all of its logits: best first, equal ones by id, -1 where too few are allowed.
void check_candidates(const ForwardRequest& r, size_t output, size_t k, const BatchResult& got, const std::vector<float>& row) {
  std::vector<size_t> best;
  for (size_t id = 0; id < kVocabulary; id++) {
    if (allowed(r, output, id)) best.push_back(id);
  }
  std::stable_sort(best.begin(), best.end(), [&](size_t a, size_t b) { return row[a] > row[b]; });
  for (size_t i = 0; i < k; i++) {
    const bool some = i < best.size();
    REQUIRE(got.candidate_ids[output * k + i] == (some ? static_cast<int32_t>(best[i]) : -1));
    REQUIRE(got.candidate_logits[output * k + i] == (some ? row[best[i]] : -INFINITY));
  }
}

void check(const ForwardRequest& r, const BatchResult& got, Context& context) {
  const auto outputs = static_cast<size_t>(std::count(r.want.begin(), r.want.end(), 1));
  const size_t k = std::min(r.candidates, kVocabulary);
  REQUIRE(got.candidate_ids.size() == outputs * k && got.candidate_logits.size() == outputs * k);
  REQUIRE(got.log_sum_exp.size() == (r.log_sum_exp ? outputs : 0));
  REQUIRE(got.extra_logits.size() == r.extra_ids.size());
  REQUIRE(got.logits.size() == kVocabulary * static_cast<size_t>(std::count(r.want.begin(), r.want.end(), 2)));
  REQUIRE(got.hidden.size() == 64 * static_cast<size_t>(std::count(r.want.begin(), r.want.end(), 3)));
  size_t index = 0, output = 0;
  for (const uint8_t want : r.want) {
    if (want != 1 && want != 2) continue;
    const std::vector<float> row = context.last_logits(index++);
    if (want == 2) continue;
    check_candidates(r, output, k, got, row);
    for (auto i = r.extra_offsets.empty() ? 0 : r.extra_offsets[output]; !r.extra_offsets.empty() && i < r.extra_offsets[output + 1]; i++) {
      REQUIRE(row[static_cast<size_t>(r.extra_ids[static_cast<size_t>(i)])] == got.extra_logits[static_cast<size_t>(i)]);
    }
    output++;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const tests::TinyModel tiny(5, 1);
  static const auto model = [] {
    const std::atomic<bool> cancelled{false};
    LoadControl control(cancelled);
    control.head = HeadMode::kSketch;
    return Model::load(tiny.spec(), "", control);
  }();
  FuzzedDataProvider in(data, size);
  ContextOptions options;
  options.threads = in.ConsumeIntegralInRange<unsigned>(1, 2);
  options.kv_blocks = in.ConsumeIntegralInRange<size_t>(1, 8);
  options.max_batch_tokens = kMostTokens;
  options.max_sequence_length = kPositions;
  Session session(model, options);
  Context& context = session.context();
  const std::vector<int32_t> sequences = {context.create_sequence(), context.create_sequence(), context.create_sequence()};
  auto lengths = [&] {
    std::vector<size_t> out = {context.free_blocks()};
    for (const int32_t id : sequences) out.push_back(context.sequence_length(id));
    return out;
  };
  for (int i = in.ConsumeIntegralInRange<int>(1, 6); i > 0 && in.remaining_bytes(); i--) {
    const ForwardRequest r = request(in, sequences);
    const std::vector<size_t> before = lengths();
    try {
      context.submit(r, nullptr);
    } catch (const Error& e) {
      REQUIRE(is(e, kInvalidArgument) || is(e, kKvFull));
      REQUIRE(lengths() == before);
      continue;
    }
    check(r, result_of(session), context);
  }
  return 0;
}
