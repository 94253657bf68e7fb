// Products with a matrix stored by input (column_kernel.h), written once and instantiated per instruction set (include it from
// inside an ISA file).
//
// Isa provides
//   Vector, kBytes            a register and its bytes, 32 or 64
//   kFields                   ColumnKernel::fields
//   kColumns, kAhead          columns that gemm_live takes at a time, a multiple of four, and how many columns ahead is prefetched
//   zero(), load(p), store(p, v), broadcast(int32)
//   nonzero(p)                which of kBytes bytes are not 0, as bits
//   interleave(v, q)          four columns' bytes to four registers, every dword one row's bytes of the four
//   add(s, q, a)              s[f] += field f of q[g] times a[g], for every group g of four columns, times a power of two
//   store_rows<f>(v, base, out)  v less that power, plus base
//   unpack(v, codes)          codes[f] = field f of v, one byte a code
//   kTokens, kRows            what `multiply` takes: most tokens, and rows (32 or 64)
//   kUnpackCost, kTokenCost   ColumnKernel::gemm_cost: to unpack an input, and to multiply it for each token
//   kPanelColumns, kFewPanelColumns
//                             columns unpacked at a time, multiples of 64, for many tokens (kRows rows of them should stay in
//                             L1) and for a few (a block's rows)
//   fetch(p)                  prefetch into L2
//   multiply<T>(panel, columns, x, stride, y, ldy)
//                             y[t][r] += the codes of kRows rows times T tokens
//
// gemm_live keeps a token's sums in L1, loaded and stored once per kColumns columns. gemm unpacks a block of rows into a panel
// of tiles in the order that matrix units and broadcast dot products want: 32 rows after another, within them 64 columns
// after another; of those two tiles of 16 rows, each 16 lines of 4 columns.
#include "kernels/byte_gemm.inl"
#include "kernels/column_kernel.h"
#include "kernels/inline.h"

namespace bitnet {
namespace {

constexpr size_t kColumnBlocks = 16;  // most blocks whose sums are kept at a time: 16 to 20 KiB of L1

constexpr size_t kColumnTile = 1024, kColumnGroupRows = 32;

// Bytes from one group of 32 rows to the next; a little more than they take, so that what is unpacked for all groups does not
// fall into the same set of L1.
constexpr size_t column_group_bytes(size_t panel_columns) { return kColumnGroupRows * panel_columns + 128; }

constexpr size_t column_panel_bytes(size_t fields, size_t panel_columns) {
  return 2 * fields * column_group_bytes(panel_columns);
}

template <class Isa>
size_t columns_nonzero(const int8_t* values, size_t n, ColumnId* ids) {
  size_t count = 0, i = 0;
  for (; i + Isa::kBytes <= n; i += Isa::kBytes) {
    auto mask = Isa::nonzero(values + i);
    while (mask) {
      ids[count++] = static_cast<ColumnId>(i + static_cast<size_t>(Isa::lowest(mask)));
      mask &= mask - 1;
    }
  }
  for (; i < n; i++) {
    if (values[i]) ids[count++] = static_cast<ColumnId>(i);
  }
  return count;
}

// Four columns' bytes from `at` on, interleaved.
template <class Isa, class Vector>
BITNET_INLINE void interleaved(const uint8_t* const column[4], size_t at, Vector (&q)[4]) {
  Vector v[4];
  unroll<4>([&](auto c) BITNET_INLINE_LAMBDA { v[c] = Isa::load(column[c] + at); });
  Isa::interleave(v, q);
}

// What one token reads of the columns that all tokens pass before the next ones.
struct LiveRun {
  const ColumnId* ids;
  size_t count;
  // What the next run reads: fetched at this one's end.
  const ColumnId* next_ids;
  size_t next_count;
};

// Unpacking works within 16-byte lanes: the sums of (step, j, f) are those of rows 64f + 16j of the step's block and of those
// behind, as many as a register has dwords, after the block's earlier registers'. They start at `start`, or go on from y.
template <class Isa>
BITNET_INLINE void columns_run(const uint8_t* packed, size_t stride, const int8_t* values, const LiveRun& run, const int32_t* start,
                               int32_t* y, size_t block_begin, size_t block_end) {
  using Vector = typename Isa::Vector;
  constexpr size_t kColumns = Isa::kColumns, kGroups = kColumns / 4, kSteps = 64 / Isa::kBytes, kFields = Isa::kFields;
  alignas(64) Vector sums[kColumnBlocks * kSteps * 4 * kFields];
  const size_t steps = (block_end - block_begin) * kSteps, count = run.count;
  for (size_t i = 0; i < steps * 4 * kFields; i++) sums[i] = Isa::zero();
  for (size_t i = 0; i < count; i += kColumns) {
    const uint8_t *column[kColumns], *next[kColumns];
    alignas(8) int8_t x[kColumns];
    for (size_t c = 0; c < kColumns; c++) {
      const size_t id = run.ids[i + c < count ? i + c : count - 1], ahead = i + c + Isa::kAhead;
      const size_t later = ahead < count                   ? run.ids[ahead]
                           : ahead - count < run.next_count ? run.next_ids[ahead - count]
                                                            : id;
      column[c] = packed + id * stride + block_begin * 64;
      next[c] = packed + later * stride + block_begin * 64;
      x[c] = i + c < count ? values[id] : static_cast<int8_t>(0);
    }
    Vector a[kGroups];
    unroll<kGroups>([&](auto g) BITNET_INLINE_LAMBDA {
      a[g] = Isa::broadcast(load_four_bytes(x + 4 * g));
    });
    for (size_t step = 0; step < steps; step++) {
      const size_t at = step * Isa::kBytes;
      Vector q[4][kGroups];
      unroll<kGroups>([&](auto g) BITNET_INLINE_LAMBDA {
        Vector mixed[4];
        interleaved<Isa>(column + 4 * g, at, mixed);
        unroll<4>([&](auto c) BITNET_INLINE_LAMBDA {
          if (kSteps == 1 || step % kSteps == 0) prefetch(next[4 * g + c] + at);
          q[c][g] = mixed[c];
        });
      });
      Vector* s = sums + step * 4 * kFields;
      unroll<4>([&](auto j) BITNET_INLINE_LAMBDA { Isa::add(s + kFields * j, q[j], a); });
    }
  }
  for (size_t step = 0; step < steps; step++) {
    int32_t* rows = y + (block_begin + step / kSteps) * kFields * kColumnFieldRows + step % kSteps * (Isa::kBytes / 4);
    unroll<4>([&](auto j) BITNET_INLINE_LAMBDA {
      unroll<kFields>([&](auto f) BITNET_INLINE_LAMBDA {
        int32_t* out = rows + 64 * f + 16 * j;
        Isa::template store_rows<f>(sums[(step * 4 + j) * kFields + f], start ? Isa::broadcast(*start) : Isa::load(out), out);
      });
    });
  }
}

// Bytes of the columns that all tokens pass before the next ones: they stay in L2.
constexpr size_t kColumnSpanBytes = size_t{256} << 10;

template <class Isa>
BITNET_INLINE size_t column_stride(size_t rows) {
  return (rows + Isa::kFields * kColumnFieldRows - 1) / (Isa::kFields * kColumnFieldRows) * 64;
}

// ColumnKernel::gemm_live. Tokens share few of their live inputs, so that decoding a column for one of them only costs little
// more, and multiplies nothing by zero; what they share comes from L2 the second time.
template <class Isa>
void columns_live(const PackedMatrix& w, const LiveInputs& live, const Activations& x, int32_t* y, size_t ldy, size_t block_begin,
                  size_t block_end) {
  const size_t stride = column_stride<Isa>(w.rows);
  for (size_t b = block_begin; b < block_end; b += kColumnBlocks) {
    const size_t end = smaller(b + kColumnBlocks, block_end);
    const size_t span = x.count == 1 ? w.columns : kColumnSpanBytes / 64 / (end - b);
    // How many of its inputs each token has passed.
    size_t passed[kMostLiveTokens] = {};
    for (size_t column = 0; column < w.columns; column += span) {
      for (size_t t = 0; t < x.count; t++) {
        const ColumnId* ids = live.ids + t * live.stride;
        const size_t count = live.counts[t], first = passed[t], next = t + 1 < x.count ? t + 1 : 0;
        size_t last = first;
        while (last < count && ids[last] < column + span) last++;
        passed[t] = last;
        const LiveRun run{ids + first, last - first, live.ids + next * live.stride + passed[next], live.counts[next] - passed[next]};
        const int32_t start = -x.sums[t];
        columns_run<Isa>(w.data, stride, x.values + t * x.stride, run, column ? nullptr : &start, y + t * ldy, b, end);
      }
    }
  }
}

// The column at place i of a list.
BITNET_INLINE size_t column_at(const ColumnList& list, size_t i) { return list.ids ? list.ids[i] : i; }

// What gemm fetches into L2 while it unpacks: the same blocks of the columns that come next, in the order in which they lie.
class ColumnFetch {
 public:
  // `lines` of each column from base + column * stride on.
  BITNET_INLINE ColumnFetch(const uint8_t* base, size_t stride, size_t lines, const ColumnList& list)
      : base_(base), stride_(stride), lines_(lines), list_(list) {}

  // From place `i` of the list on.
  BITNET_INLINE void from(size_t i) {
    i_ = i;
    start();
  }

  template <class Isa>
  BITNET_INLINE void next() {
    Isa::fetch(at_);
    at_ += 64;
    if (--left_) return;
    i_++;
    start();
  }

 private:
  BITNET_INLINE void start() {
    at_ = base_ + column_at(list_, i_ < list_.count ? i_ : 0) * stride_;
    left_ = lines_;
  }

  const uint8_t *base_, *at_ = nullptr;
  size_t stride_, lines_, left_ = 1, i_ = 0;
  ColumnList list_;
};

// Four columns' blocks to a panel: fields first..last.
template <class Isa, bool Whole>
BITNET_INLINE void unpack_four(const uint8_t* const (&four)[4], size_t first, size_t last, size_t group_bytes, uint8_t* out) {
  using Vector = typename Isa::Vector;
  unroll<64 / Isa::kBytes>([&](auto half) BITNET_INLINE_LAMBDA {
    Vector q[4];
    interleaved<Isa>(four, half * Isa::kBytes, q);
    unroll<4>([&](auto j) BITNET_INLINE_LAMBDA {
      Vector codes[Isa::kFields];
      Isa::unpack(q[j], codes);
      uint8_t* line = out + j / 2 * group_bytes + j % 2 * kColumnTile + half * Isa::kBytes;
      unroll<Isa::kFields>([&](auto f) BITNET_INLINE_LAMBDA {
        if (Whole) {
          Isa::store(line + 2 * f * group_bytes, codes[f]);
        } else if (f >= first && f < last) {
          Isa::store(line + 2 * (f - first) * group_bytes, codes[f]);
        }
      });
    });
  });
}

// Fields first..last of a block, `width` columns (a multiple of 64) from place `from` of the list on, to a panel. Columns
// behind the last one repeat it: their activations are zero.
template <class Isa, bool Whole>
BITNET_INLINE void unpack_panel(const PackedMatrix& w, const ColumnList& list, size_t block, size_t first, size_t last,
                                size_t from, size_t width, size_t group_bytes, ColumnFetch& fetch, uint8_t* panel) {
  const size_t stride = column_stride<Isa>(w.rows);
  const uint8_t* base = w.data + block * 64;
  for (size_t k = 0; k < width; k += 4) {
    const uint8_t* four[4];
    unroll<4>([&](auto c) BITNET_INLINE_LAMBDA {
      const size_t i = from + k + c;
      four[c] = base + column_at(list, i < list.count ? i : list.count - 1) * stride;
      fetch.template next<Isa>();
    });
    unpack_four<Isa, Whole>(four, first, last, group_bytes, panel + k / 64 * 2 * kColumnTile + k % 64 * 16);
  }
}

// Unpacks a range of rows panel by panel, `panel_columns` at a time, and calls multiply(panel, column, width, row, rows) for
// each: block by block within the same columns, since a column's blocks are neighbours in memory.
template <class Isa, class F>
BITNET_INLINE void each_panel(const PackedMatrix& w, const ColumnList& list, size_t row_begin, size_t row_end,
                              size_t panel_columns, size_t group_bytes, uint8_t* panel, F&& multiply) {
  const size_t begin = row_begin / kColumnFieldRows, end = (row_end + kColumnFieldRows - 1) / kColumnFieldRows;
  const size_t first_block = begin / Isa::kFields, last_block = (end - 1) / Isa::kFields;
  ColumnFetch fetch(w.data + first_block * 64, column_stride<Isa>(w.rows), last_block - first_block + 1, list);
  for (size_t k = 0; k < list.count; k += panel_columns) {
    const size_t width = smaller(panel_columns, (list.count - k + 63) / 64 * 64);
    fetch.from(k + panel_columns);
    for (size_t at = begin; at < end;) {
      const size_t first = at % Isa::kFields, last = smaller(Isa::kFields, first + end - at);
      if (last - first == Isa::kFields) {
        unpack_panel<Isa, true>(w, list, at / Isa::kFields, first, last, k, width, group_bytes, fetch, panel);
      } else {
        unpack_panel<Isa, false>(w, list, at / Isa::kFields, first, last, k, width, group_bytes, fetch, panel);
      }
      multiply(panel, k, width, at * kColumnFieldRows, (last - first) * kColumnFieldRows);
      at += last - first;
    }
  }
}

// Up to this many tokens a product's panels are narrow: its block of codes, each of which is used a few times only, then
// stays in L1.
constexpr size_t kFewColumnTokens = 32;

// ColumnKernel::gemm
template <class Isa>
void columns_gemm(const PackedMatrix& w, const ColumnList& list, const Activations& x, int32_t* y, size_t ldy, size_t row_begin,
                  size_t row_end, void* scratch) {
  const size_t panel_columns = x.count <= kFewColumnTokens ? Isa::kFewPanelColumns : Isa::kPanelColumns;
  const size_t group_bytes = column_group_bytes(panel_columns);
  const size_t rows = (row_end - row_begin + kColumnFieldRows - 1) / kColumnFieldRows * kColumnFieldRows;
  for (size_t t = 0; t < x.count; t++) {
    // Codes are w + 1: the sums start from minus the activations' sum.
    for (size_t r = 0; r < rows; r++) y[t * ldy + row_begin + r] = -x.sums[t];
  }
  each_panel<Isa>(w, list, row_begin, row_end, panel_columns, group_bytes, static_cast<uint8_t*>(scratch),
                  [&](const uint8_t* panel, size_t k, size_t width, size_t row, size_t count) BITNET_INLINE_LAMBDA {
    for (size_t r = 0; r < count; r += Isa::kRows) {
      const uint8_t* codes = panel + r / kColumnGroupRows * group_bytes;
      for (size_t t = 0; t < x.count;) {
        t += next_tile<Isa::kTokens>(x.count - t, [&](auto tokens) BITNET_INLINE_LAMBDA {
          Isa::template multiply<decltype(tokens)::value>(codes, group_bytes, width, x.values + t * x.stride + k, x.stride,
                                                          y + t * ldy + row + r, ldy);
        });
      }
    }
  });
}

template <class Isa>
double columns_gemm_cost(size_t tokens) {
  return Isa::kUnpackCost + Isa::kTokenCost * static_cast<double>(tokens);
}

// ColumnKernel::scratch_bytes
template <class Isa>
size_t columns_scratch(size_t) {
  return column_panel_bytes(Isa::kFields, Isa::kPanelColumns);
}

}  // namespace
}  // namespace bitnet
