// Where four packed rows lie: one sequential stream for a whole matrix, or scattered for a list of rows.
//
// Both family layouts that skip rows (i2s, t5) interleave four rows in blocks of 64 bytes, so block b of a row is 256 * b
// bytes behind its first, wherever that is.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/inline.h"
#include "kernels/kernel.h"

namespace bitnet {
namespace {

struct RowGroup {
  const uint8_t* row[4];
  const uint8_t* next[4];  // what to prefetch meanwhile, at the same offsets
};

// Groups of four from row `first` on, one behind the other.
BITNET_INLINE auto stream_rows(const PackedMatrix& w, size_t group_bytes, size_t first) {
  const uint8_t* base = w.data + first / 4 * group_bytes;
  const size_t ahead = w.prefetch;
  return [base, group_bytes, ahead](size_t i) BITNET_INLINE_LAMBDA {
    const uint8_t* p = base + i * group_bytes;
    return RowGroup{{p, p + 64, p + 128, p + 192}, {p + ahead, p + 64 + ahead, p + 128 + ahead, p + 192 + ahead}};
  };
}

// Rows of a list, four at a time; the list's end repeats its last row. The four after the next are fetched meanwhile.
BITNET_INLINE auto listed_rows(const PackedMatrix& w, size_t group_bytes, const int32_t* rows, size_t count) {
  return [&w, group_bytes, rows, count](size_t i) BITNET_INLINE_LAMBDA {
    auto at = [&](size_t k) BITNET_INLINE_LAMBDA {
      const auto row = static_cast<size_t>(rows[k < count ? k : count - 1]);
      return w.data + row / 4 * group_bytes + row % 4 * 64;
    };
    constexpr size_t kAhead = 8;
    RowGroup g;
    for (size_t r = 0; r < 4; r++) {
      g.row[r] = at(4 * i + r);
      g.next[r] = at(4 * i + r + kAhead);
    }
    return g;
  };
}

}  // namespace
}  // namespace bitnet
