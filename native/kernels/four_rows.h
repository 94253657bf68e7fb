// Which four rows a kernel multiplies next, and where their sums go: a stretch of a matrix, or a list of rows.
//
// Both layouts that read this way (i2s_layout.h, t5_layout.h) keep a row's 64-byte blocks one behind the other, and the
// rows as well. A stretch is read as four streams, a quarter of it apart: measured, four long streams come faster from
// memory than one of the same bytes (17.5-18.5 against 15-15.5 GB/s, one core), since each has a prefetcher of its own.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/inline.h"
#include "kernels/kernel.h"

namespace bitnet {
namespace {

struct FourRows {
  const uint8_t* row[4];
  const uint8_t* next[4];  // what to prefetch meanwhile, at the same offsets
};

// Rows first .. first + count - 1, count a multiple of kRowTile.
class StreamedRows {
 public:
  BITNET_INLINE StreamedRows(const PackedMatrix& w, size_t row_bytes, size_t first, size_t count)
      : base_(w.data + first * row_bytes), row_bytes_(row_bytes), quarter_(count / 4), ahead_(w.prefetch) {}

  BITNET_INLINE size_t fours() const { return quarter_; }

  BITNET_INLINE FourRows at(size_t i) const {
    const uint8_t* p = base_ + i * row_bytes_;
    const size_t stream = quarter_ * row_bytes_;
    // A stream that nears its end goes on with the same one of the stretch behind this one, which a thread mostly takes next.
    const uint8_t* next = p + ahead_ + (i * row_bytes_ + ahead_ < stream ? 0 : 3 * stream);
    FourRows four;
    for (size_t r = 0; r < 4; r++) {
      four.row[r] = p + r * stream;
      four.next[r] = next + r * stream;
    }
    return four;
  }

  // y: the output of row `first`.
  BITNET_INLINE void put(size_t i, const int32_t sums[4], int32_t* y) const {
    for (size_t r = 0; r < 4; r++) y[i + r * quarter_] = sums[r];
  }

 private:
  const uint8_t* base_;
  size_t row_bytes_, quarter_, ahead_;
};

// Rows of a list, four at a time; the list's end repeats its last row. Two steps ahead are fetched meanwhile.
class ListedRows {
 public:
  BITNET_INLINE ListedRows(const PackedMatrix& w, size_t row_bytes, const int32_t* rows, size_t count)
      : base_(w.data), row_bytes_(row_bytes), rows_(rows), count_(count) {}

  BITNET_INLINE size_t fours() const { return (count_ + 3) / 4; }

  BITNET_INLINE FourRows at(size_t i) const {
    constexpr size_t kAhead = 8;
    FourRows four;
    for (size_t r = 0; r < 4; r++) {
      four.row[r] = row(4 * i + r);
      four.next[r] = row(4 * i + r + kAhead);
    }
    return four;
  }

  BITNET_INLINE void put(size_t i, const int32_t sums[4], int32_t* y) const {
    for (size_t r = 0; r < 4; r++) y[4 * i + r] = sums[r];
  }

 private:
  BITNET_INLINE const uint8_t* row(size_t k) const {
    return base_ + static_cast<size_t>(rows_[k < count_ ? k : count_ - 1]) * row_bytes_;
  }

  const uint8_t* base_;
  size_t row_bytes_;
  const int32_t* rows_;
  size_t count_;
};

}  // namespace
}  // namespace bitnet
