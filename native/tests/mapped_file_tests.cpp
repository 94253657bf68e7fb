// Rows copied out of a mapped file, and what becomes of them when the file is cut short meanwhile.
#include "engine/mapped_file.h"

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "error.h"
#include "tests/tests.h"

void test_mapped_file(TestResult& result) {
  const auto path = (std::filesystem::temp_directory_path() / "node-bitnet-mapped-file-test").string();
  std::vector<uint8_t> bytes(100000);
  for (size_t i = 0; i < bytes.size(); i++) bytes[i] = static_cast<uint8_t>(i * 31 + i / 256);
  std::FILE* file = std::fopen(path.c_str(), "wb");
  std::fwrite(bytes.data(), 1, bytes.size(), file);
  std::fclose(file);
  {
    bitnet::MappedFile mapped(path);
    bitnet::MappedFile moved(std::move(mapped));
    bool same = true;
    for (size_t offset : {size_t{0}, size_t{4095}, size_t{77777}, bytes.size() - 10}) {
      std::vector<uint8_t> copy(std::min<size_t>(9000, bytes.size() - offset));
      moved.read(offset, copy.size(), copy.data());
      same &= std::equal(copy.begin(), copy.end(), bytes.begin() + static_cast<std::ptrdiff_t>(offset));
    }
    result.check(same, "mapped file: read() copies what is there");
#if !defined(_WIN32)
    moved.require_whole();
    // Not even a page: nothing faults.
    bool told = false;
    std::filesystem::resize_file(path, bytes.size() - 1);
    try {
      moved.require_whole();
    } catch (const bitnet::Error& error) {
      told = std::string(error.code) == bitnet::kFileError;
    }
    result.check(told && moved.data()[bytes.size() - 1] == 0, "mapped file: a byte less is told");
    std::filesystem::resize_file(path, bytes.size());
    moved.require_whole();
    std::filesystem::resize_file(path, 50000);
    std::vector<uint8_t> copy(2000, 0xee);
    moved.read(49000, copy.size(), copy.data());
    bool zeros = true, thrown = false;
    for (size_t i = 0; i < copy.size(); i++) zeros &= copy[i] == (i < 1000 ? bytes[49000 + i] : 0);
    try {
      moved.require_whole();
    } catch (const bitnet::Error& error) {
      thrown = std::string(error.code) == bitnet::kFileError;
    }
    result.check(zeros && thrown, "mapped file: what was cut off reads as zeros, and is told");
#endif
  }
  std::filesystem::remove(path);
}
