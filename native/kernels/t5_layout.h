// The layout all dense 1.6-bit kernels share: five weights a byte, 320 in 64 bytes.
//
// Codes t = w + 1. Byte j of a 64-byte block holds the weights 64f + j, f = 0..4, so activations stay in their natural
// order: byte = 28 * (t3 + 3 * t4) + (t0 + 3 * t1 + 9 * t2), 0..250. With 28 instead of 27 the high six bits of a byte
// say t3, t4 and two thirds of the rest, so that look-ups of 64 and of 32 entries decode it (vpermb; tbl). Where rows
// and blocks lie: row_layout.h.
//
// Columns are padded to 320: the activations there are zero; the code stored is 0.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/row_layout.h"

namespace bitnet::t5 {

constexpr size_t kFields = 5;

// The byte of five codes. Sums of bytes only, which compilers turn into a few vector instructions on every instruction set.
constexpr uint8_t encode(uint8_t t0, uint8_t t1, uint8_t t2, uint8_t t3, uint8_t t4) {
  auto add = [](uint8_t a, uint8_t b) { return static_cast<uint8_t>(a + b); };
  auto thrice = [&](uint8_t a) { return add(add(a, a), a); };
  auto twice = [&](uint8_t a) { return add(a, a); };
  const uint8_t low = add(t0, thrice(add(t1, thrice(t2)))), high = add(t3, thrice(t4));
  const uint8_t seven = add(add(twice(twice(high)), twice(high)), high);
  return add(low, twice(twice(seven)));
}
static_assert(encode(1, 0, 0, 0, 0) == 1 && encode(0, 1, 0, 0, 0) == 3 && encode(0, 0, 1, 0, 0) == 9 &&
              encode(0, 0, 0, 1, 0) == 28 && encode(0, 0, 0, 0, 1) == 84 && encode(2, 2, 2, 2, 2) == 250);

using Layout = RowLayout<64 * kFields>;

size_t packed_bytes(size_t rows, size_t columns);
void pack(const uint8_t* codes, size_t row_begin, size_t count, size_t rows, size_t columns, uint8_t* packed);

}  // namespace bitnet::t5
