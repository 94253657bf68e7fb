// IQ1_BN and IQ2_BN (ik_llama.cpp): ternary codes 0, 1, 2 with one scale at the start of each row.
//
// IQ2_BN, f32 scale, then 16 bytes per 64 weights: bits 2f, 2f + 1 of byte b hold weight 16f + b.
// IQ1_BN, f16 scale, then 13 bytes per 64 weights: four times 16 weights, of which 15 in three bytes of five base-3 digits
// and the last in digit 4 - i of the thirteenth byte. The first weight of a byte is its least significant digit.
#include <cstring>

#include "formats/format.h"
#include "formats/half.h"
#include "formats/trits.h"

namespace bitnet {
namespace {

constexpr size_t kColumns = 64;

template <size_t Header, size_t Block>
size_t row_bytes(size_t columns) {
  return Header + columns / kColumns * Block;
}

template <size_t Header, size_t Block>
size_t bytes(size_t rows, size_t columns) {
  return columns % kColumns ? 0 : rows * row_bytes<Header, Block>(columns);
}

bool unpack_1(const uint8_t* block, uint8_t* codes) {
  for (size_t i = 0; i < 4; i++) {
    for (size_t k = 0; k < 3; k++) {
      for (size_t j = 0; j < 5; j++) *codes++ = trit(block[3 * i + k], 4 - j);
    }
    *codes++ = trit(block[12], 4 - i);
  }
  return true;
}

bool unpack_2(const uint8_t* block, uint8_t* codes) {
  uint8_t invalid = 0;
  for (size_t b = 0; b < 16; b++) {
    invalid |= block[b] & block[b] >> 1 & 0x55;
    for (size_t f = 0; f < 4; f++) codes[16 * f + b] = block[b] >> (2 * f) & 3;
  }
  return !invalid;
}

template <size_t Header, size_t Block, bool (*Unpack)(const uint8_t*, uint8_t*)>
bool unpack_codes(const uint8_t* data, size_t, size_t columns, size_t row_begin, size_t count, uint8_t* codes) {
  bool valid = true;
  for (size_t row = row_begin; row < row_begin + count; row++) {
    const uint8_t* block = data + row * row_bytes<Header, Block>(columns) + Header;
    for (size_t k = 0; k < columns; k += kColumns, block += Block, codes += kColumns) valid &= Unpack(block, codes);
  }
  return valid;
}

template <size_t Header, size_t Block>
void scales(const uint8_t* data, size_t columns, size_t row_begin, size_t count, float* out) {
  for (size_t i = 0; i < count; i++) {
    const uint8_t* row = data + (row_begin + i) * row_bytes<Header, Block>(columns);
    if (Header == 2) {
      out[i] = half_to_float(row);
    } else {
      std::memcpy(out + i, row, 4);
    }
  }
}

bool one_scale(const uint8_t*, size_t, size_t) { return true; }

constexpr GroupScales kIq1Scales = {0, 2, 1, unpack_codes<2, 13, unpack_1>, scales<2, 13>, one_scale};
constexpr GroupScales kIq2Scales = {0, 2, 1, unpack_codes<4, 16, unpack_2>, scales<4, 16>, one_scale};

}  // namespace

extern const Format kFormatIq1Bn = {"iq1_bn", bytes<2, 13>, unpack_codes<2, 13, unpack_1>, nullptr, kNoDense, nullptr,
                                    nullptr, &kIq1Scales};
extern const Format kFormatIq2Bn = {"iq2_bn", bytes<4, 16>, unpack_codes<4, 16, unpack_2>, nullptr, kNoDense, nullptr,
                                    nullptr, &kIq2Scales};

}  // namespace bitnet
