// What the fuzz targets share. A target is one file that defines LLVMFuzzerTestOneInput; the sanitizers and REQUIRE end the
// program at a finding.
#pragma once

#include <fuzzer/FuzzedDataProvider.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "error.h"

#define REQUIRE(condition)                                                        \
  do {                                                                            \
    if (!(condition)) {                                                           \
      std::fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                               \
    }                                                                             \
  } while (false)

namespace bitnet::fuzz {

// Whether an error is of a kind. Its code may be another copy of the same text: sanitizers keep each file's own.
inline bool is(const Error& error, const char* code) { return !std::strcmp(error.code, code); }

// Exactly `size` bytes on the heap, so that a read of one more is found; the input's bytes over and over, or its last
// ones where it has fewer.
inline std::unique_ptr<uint8_t[]> exact_bytes(FuzzedDataProvider& in, size_t size) {
  std::unique_ptr<uint8_t[]> bytes(new uint8_t[size]);
  const std::vector<uint8_t> given = in.ConsumeBytes<uint8_t>(in.remaining_bytes());
  for (size_t i = 0; i < size; i++) bytes[i] = given.empty() ? 0 : given[i % given.size()];
  return bytes;
}

}  // namespace bitnet::fuzz
