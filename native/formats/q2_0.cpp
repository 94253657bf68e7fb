// Q2_0 in its two block sizes (64 in llama.cpp, 128 in PrismML's earlier fork) and PQ2_0, the latter's later name: f16
// scale first, then four weights a byte from the low bits up, weight = (code - 1) * scale. Code 3 stands for +2: files of
// ternary models have none, but it is no error, and such a tensor has group scales and no ternary codes.
#include "formats/blocks.h"

namespace bitnet {
namespace {

template <size_t N>
bool unpack_any(const uint8_t* block, uint8_t* codes) {
  for (size_t i = 0; i < N; i++) codes[i] = block[2 + i / 4] >> (i % 4 * 2) & 3;
  return true;
}

template <size_t N>
bool unpack_ternary(const uint8_t* block, uint8_t* codes) {
  uint8_t invalid = 0;
  for (size_t i = 0; i < N / 4; i++) invalid |= block[2 + i] & block[2 + i] >> 1 & 0x55;
  unpack_any<N>(block, codes);
  return !invalid;
}

template <size_t N>
using Q = Blocks<N, N / 4 + 2, 0>;

// One scale and ternary codes.
template <size_t N>
bool one_scale(const uint8_t* data, size_t columns, size_t row) {
  if (!Q<N>::one_scale(data, columns, row)) return false;
  const uint8_t* block = data + row * (columns / N) * (N / 4 + 2);
  uint8_t invalid = 0;
  for (size_t b = 0; b < columns / N; b++, block += N / 4 + 2) {
    for (size_t i = 0; i < N / 4; i++) invalid |= block[2 + i] & block[2 + i] >> 1 & 0x55;
  }
  return !invalid;
}

template <size_t N>
constexpr GroupScales kScales = {N, 2, 1, Q<N>::template unpack<unpack_any<N>>, Q<N>::scales, one_scale<N>};

template <size_t N>
constexpr Format format(const char* name) {
  return {name,    Q<N>::bytes, Q<N>::template unpack<unpack_ternary<N>>,
          nullptr, static_cast<int>(N == 64 ? DenseType::kQ2_0G64 : DenseType::kQ2_0G128),
          nullptr, nullptr,     &kScales<N>};
}

}  // namespace

extern const Format kFormatQ2_0G64 = format<64>("q2_0_g64");
extern const Format kFormatQ2_0G128 = format<128>("q2_0_g128");
extern const Format kFormatPq2_0 = format<128>("pq2_0");

}  // namespace bitnet
