// A model's file that is cut short or written to while it is mapped, before or after loading: rows of the embedding, of the
// head and norms come from pages that are gone. Then there is an error that says so, or what comes out is what came out
// before: never other numbers in silence, never the end of the process.
#include "fuzz/memory_file.h"
#include "fuzz/passes.h"
#include "fuzz/plausible.h"

using namespace bitnet;
using namespace bitnet::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedDataProvider in(data, size);
  RandomSpec made = random_spec(in, false);
  if (made.file_bytes == 0 || made.file_bytes > 2 << 20) return 0;
  const std::string kernel = random_kernel(in);
  const std::atomic<bool> cancelled{false};
  LoadControl control(cancelled);
  control.threads = in.ConsumeIntegralInRange<unsigned>(1, 2);
  control.head = static_cast<HeadMode>(in.ConsumeIntegralInRange<int>(0, 2));
  ContextOptions options;
  options.threads = in.ConsumeIntegralInRange<unsigned>(1, 2);
  options.kv_blocks = 8;
  options.max_batch_tokens = 32;
  options.max_sequence_length = std::min<size_t>(made.spec.context_length, 64);
  if (options.max_sequence_length < 16) return 0;
  const std::vector<uint8_t> contents = plausible_contents(made, in.ConsumeIntegral<uint16_t>());
  MemoryFile file(contents);
  made.spec.files = {file.path()};
  const uint64_t page = 4096, cut = in.ConsumeBool() ? in.ConsumeIntegralInRange<uint64_t>(0, contents.size())
                                                     : in.ConsumeIntegralInRange<uint64_t>(0, contents.size() / page) * page;
  auto change = [&] {
    if (in.ConsumeBool()) {
      file.resize(cut);
    } else {
      file.put(in.ConsumeBytes<uint8_t>(in.ConsumeIntegralInRange<size_t>(1, 64)), cut);
      return true;
    }
    return false;
  };
  if (in.ConsumeIntegralInRange<int>(0, 3) == 0) {
    change();
    try {
      const auto model = Model::load(std::move(made.spec), kernel, control);
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
    model = Model::load(std::move(made.spec), kernel, control);
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
