// A model's file that is cut short or written to while it is mapped, before or after loading: rows of the embedding, of the
// head and norms come from pages that are gone. Then there is an error that says so, or what comes out is what came out
// before: never other numbers in silence, never the end of the process.
#include "fuzz/passes.h"
#include "fuzz/random_model.h"

using namespace bitnet;
using namespace bitnet::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedDataProvider in(data, size);
  RandomModel made(in, 2 << 20, 2);
  if (!made) return 0;
  ContextOptions options;
  options.threads = in.ConsumeIntegralInRange<unsigned>(1, 2);
  options.kv_blocks = 8;
  options.max_batch_tokens = 32;
  options.max_sequence_length = std::min<size_t>(made.spec.context_length, 64);
  if (options.max_sequence_length < 16) return 0;
  const uint64_t page = 4096, bytes = made.contents.size(),
                 cut = in.ConsumeBool() ? in.ConsumeIntegralInRange<uint64_t>(0, bytes)
                                        : in.ConsumeIntegralInRange<uint64_t>(0, bytes / page) * page;
  auto change = [&] {
    if (in.ConsumeBool()) {
      made.file->resize(cut);
    } else {
      made.file->put(in.ConsumeBytes<uint8_t>(in.ConsumeIntegralInRange<size_t>(1, 64)), cut);
      return true;
    }
    return false;
  };
  if (in.ConsumeIntegralInRange<int>(0, 3) == 0) {
    change();
    try {
      const auto model = made.load();
      Session session(model, options);
      play(session, 12);
    } catch (const Error&) {
    }
    return 0;
  }
  std::shared_ptr<const Model> model;
  std::unique_ptr<Session> session;
  std::vector<float> expected;
  try {
    model = made.load();
    session = std::make_unique<Session>(model, options);
    expected = play(*session, 12);
  } catch (const Error&) {
    return 0;
  }
  const bool written = change();
  try {
    const std::vector<float> got = play(*session, 12);
    REQUIRE(written || same_bits(got, expected) || !finite(expected));
  } catch (const Error& e) {
    REQUIRE(written || is(e, kFileError));
  }
  return 0;
}
