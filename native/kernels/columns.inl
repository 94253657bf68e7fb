// The product that skips zero inputs (column_kernel.h), written once and instantiated per instruction set (include it from
// inside an ISA file).
//
// Isa provides
//   Vector, kBytes            a register and its bytes, 32 or 64
//   kColumns, kAhead          columns taken at a time, a multiple of four, and how many columns ahead is prefetched
//   zero(), load(p), broadcast(int32)
//   nonzero(p)                which of kBytes bytes are not 0, as bits
//   interleave(v, q)          four columns' bytes to four registers, every dword one row's bytes of the four
//   add(s, q, a)              s[f] += field f of q[g] times a[g], for every group g of four columns, times a power of two
//   store_rows<f>(v, sum, out)  v less that power, minus sum; lanes of 16 bytes are 16 rows apart
// Sums live in L1, loaded and stored once per kColumns columns.
#include "kernels/column_kernel.h"
#include "kernels/inline.h"

namespace bitnet {
namespace {

constexpr size_t kColumnBlocks = 16;  // most blocks whose sums are kept at a time: 16 KiB of L1

template <class Isa>
size_t columns_nonzero(const int8_t* values, size_t n, int32_t* ids) {
  size_t count = 0, i = 0;
  for (; i + Isa::kBytes <= n; i += Isa::kBytes) {
    auto mask = Isa::nonzero(values + i);
    while (mask) {
      ids[count++] = static_cast<int32_t>(i) + Isa::lowest(mask);
      mask &= mask - 1;
    }
  }
  for (; i < n; i++) {
    if (values[i]) ids[count++] = static_cast<int32_t>(i);
  }
  return count;
}

// Unpacking works within 16-byte lanes: dword d of lane l of sum (j, f) is row 64f + 16l + 4j + d, and the bytes before
// this register's in its block.
template <class Isa>
BITNET_INLINE void columns_run(const uint8_t* packed, size_t stride, const int8_t* values, const int32_t* ids, size_t count,
                               int32_t* y, size_t block_begin, size_t block_end) {
  using Vector = typename Isa::Vector;
  constexpr size_t kColumns = Isa::kColumns, kGroups = kColumns / 4, kSteps = 64 / Isa::kBytes;
  alignas(64) Vector sums[kColumnBlocks * kSteps * 16];
  const size_t steps = (block_end - block_begin) * kSteps;
  for (size_t i = 0; i < steps * 16; i++) sums[i] = Isa::zero();
  int32_t total = 0;
  for (size_t i = 0; i < count; i += kColumns) {
    const uint8_t *column[kColumns], *next[kColumns];
    alignas(8) int8_t x[kColumns];
    for (size_t c = 0; c < kColumns; c++) {
      const auto id = static_cast<size_t>(ids[i + c < count ? i + c : count - 1]);
      const auto later = static_cast<size_t>(ids[i + c + Isa::kAhead < count ? i + c + Isa::kAhead : count - 1]);
      column[c] = packed + id * stride + block_begin * 64;
      next[c] = packed + later * stride + block_begin * 64;
      x[c] = i + c < count ? values[id] : static_cast<int8_t>(0);
      total += x[c];
    }
    Vector a[kGroups];
    unroll<kGroups>([&](auto g) BITNET_INLINE_LAMBDA {
      int32_t four;
      memcpy(&four, x + 4 * g, 4);
      a[g] = Isa::broadcast(four);
    });
    for (size_t step = 0; step < steps; step++) {
      const size_t at = step * Isa::kBytes;
      Vector q[4][kGroups];
      unroll<kGroups>([&](auto g) BITNET_INLINE_LAMBDA {
        Vector v[4], mixed[4];
        unroll<4>([&](auto c) BITNET_INLINE_LAMBDA {
          v[c] = Isa::load(column[4 * g + c] + at);
          if (kSteps == 1 || step % kSteps == 0) prefetch(next[4 * g + c] + at);
        });
        Isa::interleave(v, mixed);
        unroll<4>([&](auto j) BITNET_INLINE_LAMBDA { q[j][g] = mixed[j]; });
      });
      Vector* s = sums + step * 16;
      unroll<4>([&](auto j) BITNET_INLINE_LAMBDA { Isa::add(s + 4 * j, q[j], a); });
    }
  }
  for (size_t step = 0; step < steps; step++) {
    int32_t* out = y + (block_begin + step / kSteps) * kColumnBlockRows + step % kSteps * Isa::kBytes;
    unroll<4>([&](auto j) BITNET_INLINE_LAMBDA {
      unroll<4>([&](auto f) BITNET_INLINE_LAMBDA {
        Isa::template store_rows<f>(sums[step * 16 + 4 * j + f], total, out + 64 * f + 4 * j);
      });
    });
  }
}

template <class Isa>
void columns_gemv(const uint8_t* packed, size_t rows, const int8_t* values, const int32_t* ids, size_t count, int32_t* y,
                  size_t block_begin, size_t block_end) {
  const size_t stride = round_up(rows, kColumnBlockRows) / kColumnBlockRows * 64;
  for (size_t b = block_begin; b < block_end; b += kColumnBlocks) {
    columns_run<Isa>(packed, stride, values, ids, count, y, b, b + kColumnBlocks < block_end ? b + kColumnBlocks : block_end);
  }
}

}  // namespace
}  // namespace bitnet
