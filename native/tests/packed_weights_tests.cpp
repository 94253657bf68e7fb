// Weights that are used in the packed file until they are copied into memory: passes meanwhile give the same bits, and what
// becomes of the file before and after. For ThreadSanitizer too.
#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <string>
#include <thread>

#include "engine/mapped_file.h"
#include "error.h"
#include "tests/session.h"
#include "tests/tests.h"
#include "tests/tiny_model.h"

using namespace bitnet;
using namespace bitnet::tests;

namespace {

namespace fs = std::filesystem;

std::vector<float> logits(Session& session, std::string* code = nullptr) {
  const int32_t id = session.context().create_sequence();
  session.submit({{id, {1, 2, 3, 50, 7}}});
  const auto job = session.wait();
  session.context().release_sequence(id);
  try {
    if (job->error) std::rethrow_exception(job->error);
  } catch (const Error& error) {
    if (code) *code = error.code;
  }
  return job->result.logits;
}

std::string code_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.code;
  }
  return "";
}

// Of this run: several may run at the same time.
std::string number() { return std::to_string(std::random_device()()); }

class PackedWeights {
 public:
  explicit PackedWeights(unsigned seed)
      : tiny_(seed, 3), path_((fs::temp_directory_path() / ("node-bitnet-packed-weights-" + number())).string()) {
    fs::remove(path_);
    const auto model = load();
    model->write_cache(cancelled_);
    Session session(model, 1);
    expected_ = logits(session);
  }
  ~PackedWeights() { fs::remove(path_); }

  std::shared_ptr<const Model> load() const {
    LoadControl control(cancelled_);
    control.threads = 2;
    control.head = HeadMode::kSketch;
    control.cache.path = path_;
    control.cache.key = "test";
    return Model::load(tiny_.spec(), "", control);
  }
  const std::vector<float>& expected() const { return expected_; }
  const std::string& path() const { return path_; }
  // One byte in 64 of the second half, where no table is.
  void overwrite() const {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    for (uintmax_t size = fs::file_size(path_), at = size / 2; at < size; at += 64) {
      file.seekp(static_cast<std::streamoff>(at));
      file.put('\x55');
    }
  }

 private:
  TinyModel tiny_;
  std::string path_;
  std::atomic<bool> cancelled_{false};
  std::vector<float> expected_;
};

void moving(const PackedWeights& packed, int rounds, TestResult& result) {
  const std::atomic<bool> cancelled{false};
  for (int round = 0; round < rounds; round++) {
    const auto model = packed.load();
    result.check(model->from_cache() && model->reads_packed_file(), "weights are used in the packed file after loading");
    std::atomic<bool> stop{false};
    std::atomic<int> wrong{0}, right{0};
    std::vector<std::thread> users;
    for (unsigned user = 0; user < 2; user++) {
      users.emplace_back([&, user] {
        Session session(model, user + 1);
        while (!stop || right == 0) (logits(session) == packed.expected() ? right : wrong)++;
      });
    }
    std::vector<std::thread> movers;
    for (int i = 0; i < 2; i++) movers.emplace_back([&] { model->take_in(cancelled); });
    for (auto& mover : movers) mover.join();
    const bool moved = !model->reads_packed_file();
    stop = true;
    for (auto& user : users) user.join();
    result.check(moved, "take_in() moves the weights");
    result.check(wrong == 0, "passes give other bits while weights move");
  }
}

void cutting(const PackedWeights& packed, TestResult& result) {
  const std::atomic<bool> cancelled{false};
  const auto moved = packed.load(), mapped = packed.load(), stopped = packed.load();
  moved->take_in(cancelled);
  const std::atomic<bool> stop{true};
  result.check(code_of([&] { stopped->take_in(stop); }) == kAborted, "take_in() can be stopped");
  fs::resize_file(packed.path(), 4096);
  Session session(moved, 2);
  std::string code;
  result.check(logits(session, &code) == packed.expected() && code.empty(), "weights in memory need no file");
  for (const auto& model : {mapped, stopped}) {
    Session lost(model, 2);
    code.clear();
    logits(lost, &code);
    result.check(code == kFileError, "a pass over weights in a file that was cut short fails");
  }
  result.check(code_of([&] { mapped->take_in(cancelled); }) == kFileError, "take_in() tells of a file that was cut short");
  code.clear();
  Session again(mapped, 2);
  logits(again, &code);
  result.check(code == kFileError, "and so do passes behind it");
}

void overwriting(const PackedWeights& packed, TestResult& result) {
  const std::atomic<bool> cancelled{false};
  const auto model = packed.load();
  packed.overwrite();
  result.check(code_of([&] { model->take_in(cancelled); }) == kFileError, "take_in() tells of a file that was overwritten");
  Session session(model, 2);
  std::string code;
  logits(session, &code);
  result.check(code == kFileError, "no pass uses what is left of it");
}

}  // namespace

void test_packed_weights(Scope scope, TestResult& result) {
  if (!MappedFile::kReplaceable) return;
  moving(PackedWeights(11), scope == Scope::kFull ? 8 : 2, result);
  cutting(PackedWeights(12), result);
  overwriting(PackedWeights(13), result);
}
