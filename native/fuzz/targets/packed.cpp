// Packed weights from a file that somebody else changed: bytes, table, words and length, with checksums that were left as
// they were (nothing may then come out but what the model gives without the file) or made anew (then the weights are what
// the file says, whatever that is, and nothing may be read or written beyond them).
#include <cstring>
#include <filesystem>
#include <fstream>

#include "engine/packed_file.h"
#include "fuzz/passes.h"
#include "fuzz/random_model.h"

using namespace bitnet;
using namespace bitnet::fuzz;

namespace {

namespace fs = std::filesystem;

// A folder of this process, in memory where the system has such a place.
class Folder {
 public:
  Folder() {
    const fs::path base = fs::exists("/dev/shm") ? fs::path("/dev/shm") : fs::temp_directory_path();
    std::string name = (base / "node-bitnet-fuzz-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()));
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  std::string file() const { return (path_ / "packed").string(); }

 private:
  fs::path path_;
};

uint64_t number(const std::vector<uint8_t>& bytes, size_t at) {
  uint64_t v;
  std::memcpy(&v, bytes.data() + at, 8);
  return v;
}

void set(std::vector<uint8_t>& bytes, size_t at, uint64_t value) { std::memcpy(bytes.data() + at, &value, 8); }

// Makes the checksums fit what the file holds now, as far as its table can be followed.
void seal(std::vector<uint8_t>& bytes) {
  if (bytes.size() < PackedFile::kHeaderBytes) return;
  set(bytes, 8, bytes.size());
  size_t at = PackedFile::kHeaderBytes;
  for (uint64_t i = number(bytes, 16); i > 0 && bytes.size() - at >= 16; i--) {
    const uint64_t offset = number(bytes, at), length = number(bytes, at + 8);
    at += 16;
    if (offset > bytes.size() || length > bytes.size() - offset) break;
    for (uint64_t begin = 0; begin < length && bytes.size() - at >= 8; begin += PackedFile::kChunk, at += 8) {
      set(bytes, at, checksum(bytes.data() + offset + begin, std::min<uint64_t>(PackedFile::kChunk, length - begin)));
    }
  }
  set(bytes, 24, checksum(bytes.data() + PackedFile::kHeaderBytes, at - PackedFile::kHeaderBytes));
}

void damage(FuzzedDataProvider& in, std::vector<uint8_t>& bytes) {
  const uint64_t words = bytes.size() > PackedFile::kHeaderBytes + 8 ? number(bytes, PackedFile::kHeaderBytes) : 0;
  for (int i = in.ConsumeIntegralInRange<int>(0, 5); i > 0; i--) {
    if (bytes.size() < PackedFile::kHeaderBytes + 64) return;
    switch (in.ConsumeIntegralInRange<int>(0, 4)) {
      case 0: {  // the header
        const size_t at = 8 * in.ConsumeIntegralInRange<size_t>(0, 8);
        set(bytes, at, in.ConsumeBool() ? in.ConsumeIntegral<uint64_t>() : number(bytes, at) + in.ConsumeIntegral<uint8_t>());
        break;
      }
      case 1: {  // the table
        const size_t at = PackedFile::kHeaderBytes + 8 * in.ConsumeIntegralInRange<size_t>(0, 7);
        set(bytes, at, in.ConsumeBool() ? in.ConsumeIntegral<uint64_t>() : number(bytes, at) + in.ConsumeIntegral<uint8_t>());
        break;
      }
      case 2: {  // the words
        const uint64_t at = words + 8 * in.ConsumeIntegralInRange<uint64_t>(0, 20);
        if (words > bytes.size() || bytes.size() - words < 8 * 21) break;
        set(bytes, at, number(bytes, at) ^ (in.ConsumeBool() ? in.ConsumeIntegral<uint64_t>() : in.ConsumeIntegralInRange<uint64_t>(0, 3)));
        break;
      }
      case 3: {  // anything
        size_t at = in.ConsumeIntegralInRange<size_t>(0, bytes.size() - 1);
        const std::vector<uint8_t> with = in.ConsumeBytes<uint8_t>(in.ConsumeIntegralInRange<size_t>(1, 32));
        for (size_t n = in.ConsumeIntegralInRange<size_t>(1, 4096); n > 0 && !with.empty() && at < bytes.size(); n--, at++) {
          bytes[at] = with[n % with.size()];
        }
        break;
      }
      default: bytes.resize(in.ConsumeIntegralInRange<size_t>(0, bytes.size() + 5000));
    }
  }
}

// Puts other bytes into the file under its mapping, over and over from some place on.
void overwrite(FuzzedDataProvider& in, const std::string& path) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  const auto with = in.ConsumeBytesAsString(in.ConsumeIntegralInRange<size_t>(1, 64));
  if (with.empty()) return;
  const uint64_t size = fs::file_size(path);
  for (uint64_t at = in.ConsumeIntegralInRange<uint64_t>(0, size); at + with.size() <= size; at += with.size()) {
    file.seekp(static_cast<std::streamoff>(at));
    file.write(with.data(), static_cast<std::streamsize>(with.size()));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  FuzzedDataProvider in(data, size);
  RandomModel made(in, 2 << 20, 2);
  if (!made) return 0;
  ContextOptions options;
  options.kv_blocks = 4;
  options.max_batch_tokens = 32;
  options.max_sequence_length = std::min<size_t>(made.spec.context_length, 64);
  const size_t prompt = std::min<size_t>(options.max_sequence_length, 13) - 1;
  if (prompt < 4) return 0;
  auto run = [&](const std::shared_ptr<const Model>& model) {
    Session session(model, options);
    return play(session, prompt);
  };
  std::remove(folder.file().c_str());
  std::vector<float> expected;
  made.control.cache.key = "fuzz";
  made.control.cache.path = folder.file();
  made.control.cache.mapped = in.ConsumeBool();
  made.control.cache.resident_bytes = in.ConsumeIntegralInRange<size_t>(0, 1 << 20);
  try {
    const auto model = made.load();
    expected = run(model);
    model->write_cache(made.cancelled);
  } catch (const Error&) {
    return 0;
  }
  std::vector<uint8_t> bytes;
  {
    std::ifstream stream(folder.file(), std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(stream), {});
  }
  damage(in, bytes);
  const bool sealed = in.ConsumeBool(), moves = in.ConsumeBool(), overwritten = in.ConsumeIntegralInRange<int>(0, 3) == 0;
  if (sealed) seal(bytes);
  std::ofstream(folder.file(), std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  try {
    const auto model = made.load();
    if (overwritten) overwrite(in, folder.file());
    if (moves) model->take_in(made.cancelled);
    const std::vector<float> got = run(model);
    if (!sealed && !overwritten) REQUIRE(same_bits(got, expected) || !finite(expected));
  } catch (const Error&) {
    REQUIRE(sealed || overwritten);
  }
  return 0;
}
