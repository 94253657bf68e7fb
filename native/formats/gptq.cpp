#include "formats/gptq.h"

#include <cstring>

#include "formats/format.h"

namespace bitnet {
namespace {

uint32_t word(const uint8_t* words, size_t i) {
  uint32_t v;
  std::memcpy(&v, words + 4 * i, 4);
  return v;
}

template <int Bits>
size_t bytes(size_t rows, size_t columns) {
  return columns * Bits % 32 || rows * Bits % 32 ? 0 : rows * columns / 8 * Bits;
}

template <int Bits>
constexpr Format gptq_format(const char* name) {
  return {name, bytes<Bits>, nullptr, nullptr, kNoDense, nullptr, nullptr, nullptr, Bits};
}

}  // namespace

void gptq_codes(const uint8_t* qweight, int bits, size_t rows, size_t columns, size_t row_begin, size_t count,
                uint8_t* codes) {
  const auto width = static_cast<size_t>(bits);
  const uint32_t mask = (1u << width) - 1;
  for (size_t k = 0; k < columns; k++) {
    const size_t bit = k * width, shift = bit % 32;
    const uint8_t* low = qweight + bit / 32 * rows * 4;
    const bool straddles = shift + width > 32;
    for (size_t i = 0; i < count; i++) {
      uint32_t v = word(low, row_begin + i) >> shift;
      if (straddles) v |= word(low + rows * 4, row_begin + i) << (32 - shift);
      codes[i * columns + k] = static_cast<uint8_t>(v & mask);
    }
  }
}

uint8_t gptq_zero(const uint8_t* qzeros, int bits, size_t rows, size_t group, size_t row) {
  const auto width = static_cast<size_t>(bits);
  const size_t bit = row * width, shift = bit % 32;
  const uint8_t* words = qzeros + group * rows * width / 8;
  uint32_t v = word(words, bit / 32) >> shift;
  if (shift + width > 32) v |= word(words, bit / 32 + 1) << (32 - shift);
  return static_cast<uint8_t>(v & ((1u << width) - 1));
}

extern const Format kFormatGptq2 = gptq_format<2>("gptq2");
extern const Format kFormatGptq3 = gptq_format<3>("gptq3");
extern const Format kFormatGptq4 = gptq_format<4>("gptq4");

}  // namespace bitnet
