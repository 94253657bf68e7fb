// Look-up tables of the dense 1.6-bit coding (t5_layout.h), computed at compile time. Internal to each file that includes
// it: see inline.h.
#pragma once

#include <cstdint>

namespace bitnet {
namespace {

struct T5Tables {
  // By the byte's high six bits h: t4 | (h % 7) << 2 | t3 << 6. With the byte's low two bits put in place of t4, bits 0
  // to 4 are t0 + 3 * t1 + 9 * t2.
  alignas(64) uint8_t high[64];
  // digit[d][s] = t_d of s = t0 + 3 * t1 + 9 * t2, repeated for 64-entry look-ups.
  alignas(64) uint8_t digit[3][64];
};

constexpr T5Tables make_t5_tables() {
  T5Tables t{};
  for (int h = 0; h < 63; h++) t.high[h] = static_cast<uint8_t>(h / 21 | h % 7 << 2 | h / 7 % 3 << 6);
  for (int s = 0; s < 27; s++) {
    for (int copy = 0; copy < 64; copy += 32) {
      t.digit[0][copy + s] = static_cast<uint8_t>(s % 3);
      t.digit[1][copy + s] = static_cast<uint8_t>(s / 3 % 3);
      t.digit[2][copy + s] = static_cast<uint8_t>(s / 9);
    }
  }
  return t;
}

constexpr T5Tables kT5Tables = make_t5_tables();

}  // namespace
}  // namespace bitnet
