// I2_S, bitnet.cpp's 2-bit ternary format (the 128-values-in-32-bytes layout of all official files).
//
// Values are flat, row-major. Block of 128: byte p = c[p] << 6 | c[32 + p] << 4 | c[64 + p] << 2 | c[96 + p], codes
// 0 = -1, 1 = 0, 2 = +1. One f32 scale at byte rows * columns / 4, then 28 bytes of padding.
#include <cstring>

#include "formats/format.h"

namespace bitnet {
namespace {

constexpr size_t kBlock = 128, kBlockBytes = 32;

size_t bytes(size_t rows, size_t columns) {
  const size_t n = rows * columns;
  return n % kBlock ? 0 : n / 4 + 32;
}

// Returns the union of the codes' bits in which both bits are set: non-zero where a code is 3.
uint8_t unpack_block(const uint8_t* block, uint8_t* codes) {
  uint8_t invalid = 0;
  for (size_t p = 0; p < kBlockBytes; p++) {
    const uint8_t b = block[p];
    codes[p] = b >> 6;
    codes[32 + p] = b >> 4 & 3;
    codes[64 + p] = b >> 2 & 3;
    codes[96 + p] = b & 3;
    invalid |= b & b >> 1 & 0x55;
  }
  return invalid;
}

bool unpack_codes(const uint8_t* data, size_t, size_t columns, size_t row_begin, size_t count, uint8_t* codes) {
  size_t at = row_begin * columns;  // flat index; rows need not start at a block
  const size_t end = at + count * columns;
  uint8_t invalid = 0;
  while (at < end) {
    const size_t offset = at % kBlock, left = end - at;
    const uint8_t* block = data + at / kBlock * kBlockBytes;
    if (!offset && left >= kBlock) {
      invalid |= unpack_block(block, codes);
      codes += kBlock;
      at += kBlock;
      continue;
    }
    uint8_t whole[kBlock];
    invalid |= unpack_block(block, whole);
    const size_t n = left < kBlock - offset ? left : kBlock - offset;
    std::memcpy(codes, whole + offset, n);
    codes += n;
    at += n;
  }
  return !invalid;
}

float scale(const uint8_t* data, size_t rows, size_t columns) {
  float s;
  std::memcpy(&s, data + rows * columns / 4, 4);
  return s;
}

}  // namespace

extern const Format kFormatI2S = {"i2_s", bytes, unpack_codes, scale, kNoDense};

}  // namespace bitnet
