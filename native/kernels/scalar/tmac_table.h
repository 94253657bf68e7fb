// Look-up tables, slow and obvious: the specification of their contents.
#pragma once

#include "kernels/tmac_lut.h"

namespace bitnet {
namespace {

struct LutTableScalar {
  static constexpr size_t kUnit = 1;

  template <class G>
  static uint32_t entries(const int8_t* x, uint8_t* low, uint8_t* high) {
    uint32_t wide = 0;
    for (size_t g = 0; g < G::kGroups; g++) {
      for (size_t e = 0; e < 16; e++) {
        int sum = 0;
        for (size_t i = 0; i < G::kGroup; i++) sum += G::coefficient(i, static_cast<int>(e)) * x[g * G::kGroup + i];
        if (G::kCentred) sum = (sum + 1) >> 1;
        const int low_part = ((sum + 128) & 0xff) - 128, high_part = (sum - low_part) / 256;
        low[16 * g + e] = static_cast<uint8_t>(low_part);
        high[16 * g + e] = static_cast<uint8_t>(high_part);
        wide |= static_cast<uint32_t>(high_part != 0) << g;
      }
    }
    return wide;
  }

  static LutSums sums(const int8_t* x) {
    LutSums s{};
    for (size_t i = 0; i < Fours::kColumns; i += Fours::kGroup) {
      const int32_t four = x[i] + x[i + 1] + x[i + 2] + x[i + 3];
      s.all += four;
      s.halves += four >> 1;
    }
    return s;
  }
};

// Entry `index` of a group's table.
inline int32_t lut_entry(const LutTable& table, size_t group, size_t index) {
  return static_cast<int8_t>(table.low[16 * group + index]) + 256 * static_cast<int8_t>(table.high[16 * group + index]);
}

}  // namespace
}  // namespace bitnet
