#include "engine/forward.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "engine/product_chunks.h"
#include "error.h"

namespace bitnet {
namespace {

// Below this many tokens a loop over tokens is not worth handing out.
constexpr size_t kParallelTokens = 4;

// From this position on, a decoded token's attention is worth an equal share of heads for each thread.
constexpr size_t kShareHeadsFrom = 128;

// Queries that meet a block of keys or values together: enough to make little of what reading it costs.
constexpr size_t kQueriesAtOnce = 48;
// Their scores, in floats: fewer queries at once where there are many positions.
constexpr size_t kScoresAtOnce = size_t{1} << 18;

}  // namespace

Forward::Forward(const Model& model, KvCache& cache, unsigned threads, size_t max_batch, size_t max_positions)
    : model_(model),
      spec_(model.spec()),
      kernel_(model.kernel()),
      ops_(model.ops()),
      cache_(cache),
      pool_(threads),
      output_head_(model, pool_),
      rope_(spec_.rope, max_positions),
      local_rope_(spec_.local_rope ? *spec_.local_rope : spec_.rope, spec_.sliding_window ? max_positions : 0),
      head_stride_(cache.head_stride()),
      group_(spec_.head_count / spec_.head_count_kv),
      q_rows_(spec_.head_count * spec_.head_dim),
      kv_rows_(spec_.head_count_kv * spec_.head_dim),
      places_(max_batch) {
  const size_t d = round_up(spec_.embedding_length, 16), f = round_up(spec_.ffn_length, 16);
  const size_t widest = std::max({spec_.embedding_length, q_rows_, spec_.ffn_length});
  const size_t most_queries = query_tokens(0) * group_;
  hidden_ = AlignedBuffer<float>(max_batch * d);
  // Attention is over where the FFN begins, which writes over its results, unless it puts its normed input there.
  const size_t qkv = max_batch * (spec_.head_count + 2 * spec_.head_count_kv) * head_stride_;
  const size_t attended = max_batch * round_up(std::max(q_rows_, spec_.embedding_length), 16), ffn = max_batch * f;
  bool apart = false;
  for (const Layer& layer : model_.layers()) apart |= !layer.gate_input_norm.empty();
  const size_t attended_at = apart ? std::max(qkv, ffn) : qkv;
  intermediate_ = AlignedBuffer<float>(std::max(attended_at + attended, ffn));
  qkv_ = ffn_ = intermediate_.data();
  attended_ = intermediate_.data() + attended_at;
  quantized_ = AlignedBuffer<int8_t>(max_batch * round_up(widest, kActivationPad));
  scales_.resize(max_batch);
  sums_.resize(max_batch);
  if (kernel_.table_bytes) tables_ = AlignedBuffer<uint8_t>(max_batch * kernel_.table_bytes(widest));
  group_tables_ = AlignedBuffer<uint8_t>(max_batch * model.group_table_bytes());
  const size_t rows = std::max({q_rows_ + 2 * kv_rows_, spec_.embedding_length, spec_.ffn_length});
  bool by_input = false;
  size_t products = 0, kernel_scratch = std::max(model.group_scratch_bytes(), kernel_.scratch_bytes(widest));
  for (size_t tokens = 1; tokens <= max_batch; tokens++) {
    products = std::max(products, tokens * std::min(chunk_rows(rows, tokens), round_up(rows, kRowTile)));
  }
  for (const Layer& layer : model.layers()) {
    const ColumnKernel* by_column = layer.down.column_kernel;
    if (!by_column) continue;
    for (size_t tokens = 1; tokens <= max_batch; tokens++) {
      products = std::max(products, tokens * column_chunk_rows(*by_column, spec_.embedding_length, tokens, threads));
    }
    // multiply_live writes whole blocks, even where that is more than a thread's share.
    products = std::max(products, std::min(max_batch, kMostLiveTokens) *
                                      live_chunk_blocks(by_column->blocks(spec_.embedding_length), threads) * by_column->block_rows());
    by_input = true;
    kernel_scratch = std::max(kernel_scratch, by_column->scratch_bytes(spec_.embedding_length));
  }
  if (spec_.head_count_kv % threads) {
    // Cut where a thread's share ends, and where a group does: the queries of one group share keys and values.
    size_t begin = 0;
    for (size_t h = 1; h <= spec_.head_count; h++) {
      if (h % group_ && h * threads / spec_.head_count == (h - 1) * threads / spec_.head_count) continue;
      head_shares_.emplace_back(begin, h - begin);
      begin = h;
    }
  }
  // The most that query_tokens() lets be needed.
  const size_t stride = attention_scores_stride(max_positions);
  const size_t most_scores = std::max(group_ * stride, std::min(most_queries * stride, kScoresAtOnce));
  scratch_.resize(threads);
  if (by_input) {
    live_inputs_.resize(std::min(max_batch, kMostLiveTokens) * spec_.ffn_length);
    any_inputs_.resize(spec_.ffn_length);
  }
  for (auto& s : scratch_) {
    s.sums = AlignedBuffer<int32_t>(products);
    s.products = AlignedBuffer<float>(products);
    s.gates = AlignedBuffer<float>(products);
    s.kernel = AlignedBuffer<uint8_t>(kernel_scratch + 64);
    s.normed = AlignedBuffer<float>(round_up(widest, 16));
    s.scores = AlignedBuffer<float>(most_scores);
    s.attention = AlignedBuffer<float>(attention_scratch(most_queries, head_stride_));
    s.gathered = AlignedBuffer<float>(most_queries * head_stride_);
    s.unordered.reserve(widest);
    s.live.resize(round_up(spec_.ffn_length, 16));
    s.live_values.resize(round_up(spec_.ffn_length, 16));
    s.live_scales.resize(round_up(spec_.ffn_length, 16));
    s.keys.resize(max_positions / kKvBlock + 1);
    s.values.resize(max_positions / kKvBlock + 1);
  }
}

size_t Forward::memory_bytes() const {
  size_t bytes = hidden_.bytes() + intermediate_.bytes() + quantized_.bytes() + tables_.bytes() + group_tables_.bytes() +
                 output_head_.memory_bytes() + rope_.bytes() + local_rope_.bytes();
  for (const auto& s : scratch_) {
    bytes += s.sums.bytes() + s.products.bytes() + s.gates.bytes() + s.kernel.bytes() + s.normed.bytes() + s.scores.bytes() +
             s.attention.bytes() + s.gathered.bytes();
  }
  return bytes;
}

size_t Forward::chunk_rows(size_t rows, size_t tokens) const {
  return product_chunk_rows(kernel_.batch_rows, rows, tokens, pool_.threads());
}

void Forward::product(const Linear& linear, const Activations& x, size_t begin, size_t end, size_t step, Scratch& s,
                      float* out, const uint8_t* after) {
  if (linear.group_kernel) {
    Activations y = x;
    y.tables = group_tables_.data();
    linear.group_kernel->gemm(linear.grouped(), y, scales_.data(), out - begin, step, begin, end, s.kernel.data());
    return;
  }
  int32_t* sums = s.sums.data();
  PackedMatrix w = linear.matrix();
  w.after = after;
  if (linear.column_kernel) {
    linear.column_kernel->gemm(w, live_columns_, x, sums - begin, step, begin, end, s.kernel.data());
  } else {
    kernel_.gemm(w, x, sums - begin, step, begin, end, s.kernel.data());
  }
  for (size_t t = 0; t < x.count; t++) {
    ops_.dequantize(sums + t * step, linear.row_scales.data() + begin, scales_[t], end - begin, out + t * step);
  }
}

size_t Forward::chunk_rows(const Linear& linear, size_t rows, size_t tokens) const {
  return linear.column_kernel ? column_chunk_rows(*linear.column_kernel, rows, tokens, pool_.threads()) : chunk_rows(rows, tokens);
}

template <class Epilogue>
void Forward::multiply_rows(const Linear& linear, const Activations& x, size_t first, size_t last, Epilogue&& epilogue) {
  const size_t step = chunk_rows(linear, last - first, x.count), chunks = (last - first + step - 1) / step;
  pool_.parallel(chunks, [&](size_t chunk, unsigned thread) {
    const size_t begin = first + chunk * step, end = std::min(last, begin + step);
    float* values = scratch_[thread].products.data();
    product(linear, x, begin, end, step, scratch_[thread], values, after_share(chunk, chunks, thread));
    for (size_t t = 0; t < x.count; t++) epilogue(t, begin, end - begin, values + t * step);
  });
}

Activations Forward::quantize_rows(const float* x, size_t ldx, const std::vector<float>& weight, const Linear& use,
                                   const Linear* other_use) {
  const size_t columns = use.columns, stride = round_up(columns, kActivationPad);
  const bool ternary = (!use.group_kernel && !use.column_kernel) || (other_use && !other_use->group_kernel);
  const size_t table = ternary && kernel_.table_bytes ? kernel_.table_bytes(columns) : 0;
  const Linear& looked_up = other_use && !use.group_table_bytes() ? *other_use : use;
  const size_t group_table = looked_up.group_table_bytes();
  auto row = [&](size_t t, unsigned thread) {
    int8_t* q = quantized_.data() + t * stride;
    const QuantizedRow r = weight.empty() ? ops_.quantize(x + t * ldx, columns, q, stride)
                                          : ops_.rms_norm_quantize(x + t * ldx, weight.data(), columns, spec_.rms_norm_epsilon,
                                                                   scratch_[thread].normed.data(), q, stride);
    scales_[t] = r.scale;
    sums_[t] = r.sum;
    if (!use.column_order.empty()) {
      std::vector<int8_t>& unordered = scratch_[thread].unordered;
      unordered.assign(q, q + columns);
      for (size_t k = 0; k < columns; k++) q[k] = unordered[use.column_order[k]];
    }
    if (table) kernel_.build_table(q, columns, tables_.data() + t * table);
    if (group_table) looked_up.group_kernel->build_table(q, columns, group_tables_.data() + t * group_table);
  };
  if (tokens_ < kParallelTokens) {
    for (size_t t = 0; t < tokens_; t++) row(t, 0);
  } else {
    pool_.parallel(tokens_, row);
  }
  return {quantized_.data(), stride, sums_.data(), tokens_, table ? tables_.data() : nullptr};
}

void Forward::embed(const Batch& batch) {
  const size_t d = spec_.embedding_length, ld = round_up(d, 16);
  const DenseMatrix& e = model_.embedding();
  for (size_t t = 0; t < tokens_; t++) {
    auto row = static_cast<size_t>(batch.tokens[t]);
    const uint8_t* data = e.data;
    if (e.large()) {
      embedded_.resize(e.row_bytes());
      e.read_row(row, embedded_.data());
      data = embedded_.data();
      row = 0;
    }
    ops_.dense_row(e.type, data, d, row, spec_.embedding_scale, hidden_.data() + t * ld);
  }
}

// RoPE for the query heads and the key of one KV head of a token, and its key and value into the cache.
void Forward::rotate_and_store(size_t layer, size_t token, size_t kv_head) {
  const Layer& l = model_.layers()[layer];
  const Run* run = places_[token].run;
  const size_t position = places_[token].position;  // no structured binding: C++17 lets no lambda capture one
  const size_t heads = spec_.head_count, dim = spec_.head_dim;
  float* row = qkv_ + token * (heads + 2 * spec_.head_count_kv) * head_stride_;
  float* key = row + (heads + kv_head) * head_stride_;
  const float* value = row + (heads + spec_.head_count_kv + kv_head) * head_stride_;
  const RopeTable& rope = l.local ? local_rope_ : rope_;
  auto rotate = [&](float* x, const std::vector<float>& norm) {
    if (!norm.empty()) ops_.rms_norm(x, norm.data(), dim, spec_.rms_norm_epsilon, x);
    ops_.rope(x, rope.cosines(position), rope.sines(position), rope.half());
  };
  for (size_t h = kv_head * group_; h < (kv_head + 1) * group_; h++) rotate(row + h * head_stride_, l.q_norm);
  rotate(key, l.k_norm);
  const BlockId block = run->blocks[position / kKvBlock];
  const size_t place = position % kKvBlock;
  ops_.store_key(key, dim, head_stride_, cache_.type(), cache_.keys(block, layer, kv_head), place);
  ops_.store_value(value, dim, head_stride_, cache_.type(), cache_.values(block, layer, kv_head), place);
}

// How many tokens' queries are attended at once, up to a position.
size_t Forward::query_tokens(size_t positions) const {
  const size_t queries = std::min(kQueriesAtOnce, kScoresAtOnce / attention_scores_stride(positions));
  return std::max<size_t>(1, queries / group_);
}

void Forward::attend(size_t layer, size_t token, size_t tokens, size_t first_head, size_t count, unsigned thread) {
  Scratch& s = scratch_[thread];
  const auto [run, position] = places_[token];
  const size_t kv_head = first_head / group_, dim = spec_.head_dim;
  // A local layer sees the last `sliding_window` positions: whole spans before them are left out.
  const size_t window = model_.layers()[layer].local ? spec_.sliding_window : SIZE_MAX;
  const size_t first_block = position + 1 > window ? (position + 1 - window) / kKvSpan * (kKvSpan / kKvBlock) : 0;
  const size_t positions = position + 1 - first_block * kKvBlock, last = positions + tokens - 1;
  for (size_t b = 0; b * kKvBlock < last; b++) {
    s.keys[b] = cache_.keys(run->blocks[first_block + b], layer, kv_head);
    s.values[b] = cache_.values(run->blocks[first_block + b], layer, kv_head);
  }
  AttentionArgs a;
  a.token_stride = (spec_.head_count + 2 * spec_.head_count_kv) * head_stride_;
  a.q = qkv_ + token * a.token_stride + first_head * head_stride_;
  a.heads = count;
  a.head_stride = head_stride_;
  a.tokens = tokens;
  a.keys = s.keys.data();
  a.values = s.values.data();
  a.positions = positions;
  a.window = window;
  a.type = cache_.type();
  a.scale = 1.0f / std::sqrt(static_cast<float>(dim));
  a.scores = s.scores.data();
  a.scores_stride = attention_scores_stride(last);
  a.scratch = s.attention.data();
  a.out = s.gathered.data();
  (a.type == KvType::kInt8 ? ops_.int8_attention : ops_.attention)(a);
  const size_t ld_attended = round_up(std::max(q_rows_, spec_.embedding_length), 16);
  for (size_t t = 0; t < tokens; t++) {
    float* out = attended_ + (token + t) * ld_attended + first_head * dim;
    for (size_t h = 0; h < count; h++) std::memcpy(out + h * dim, a.out + (t * count + h) * head_stride_, dim * sizeof(float));
  }
}

// For one token, whose products wait for memory: what the loop after the next streams.
void Forward::announce(const Linear& next) {
  if (tokens_ == 1) pool_.announce(next.packed.data(), next.packed.bytes());
}

const uint8_t* Forward::after_share(size_t chunk, size_t chunks, unsigned thread) const {
  const unsigned threads = pool_.threads();
  // Of a matrix by input a thread's share is no stretch.
  if (!following_ || following_->column_kernel || chunk + 1 != chunks * (thread + 1) / threads) return nullptr;
  const size_t step = chunk_rows(following_->rows, tokens_), next_chunks = (following_->rows + step - 1) / step;
  return following_->codes(next_chunks * thread / threads * step);
}

// h += Wo * sub_norm(attention(rope(Wq n), rope(Wk n), Wv n)), n = RMSNorm(h)
void Forward::attention_block(size_t layer) {
  const Layer& l = model_.layers()[layer];
  const size_t d = spec_.embedding_length, ldh = round_up(d, 16), dim = spec_.head_dim;
  const size_t kv_heads = spec_.head_count_kv, ld_qkv = (spec_.head_count + 2 * kv_heads) * head_stride_;
  const size_t ld_attended = round_up(std::max(q_rows_, d), 16);

  if (dim != head_stride_) {  // what pads a head stays zero
    for (size_t t = 0; t < tokens_; t++) {
      for (size_t at = 0; at < ld_qkv; at += head_stride_) std::fill_n(qkv_ + t * ld_qkv + at + dim, head_stride_ - dim, 0.0f);
    }
  }
  auto store = [&](size_t t, size_t row, size_t count, const float* values) {
    // Rows are heads x head_dim; in memory each head starts at a multiple of head_stride.
    for (size_t done = 0; done < count;) {
      const size_t head = (row + done) / dim, in_head = (row + done) % dim, n = std::min(count - done, dim - in_head);
      float* out = qkv_ + t * ld_qkv + head * head_stride_ + in_head;
      std::memcpy(out, values + done, n * sizeof(float));
      if (!l.qkv_bias.empty()) ops_.add(l.qkv_bias.data() + row + done, n, out);
      done += n;
    }
  };
  Activations x;
  if (l.q_input_norm.empty()) {
    x = quantize_rows(hidden_.data(), ldh, l.attn_norm, l.qkv);
    follow_with(&l.attn_output);
    multiply(l.qkv, x, store);
  } else {
    const float* normed = normed_rows(l.attn_norm);
    size_t row = 0;
    for (const auto& [norm, rows] : {std::pair{&l.q_input_norm, q_rows_}, {&l.k_input_norm, kv_rows_}, {&l.v_input_norm, kv_rows_}}) {
      x = quantize_rows(normed, ld_attended, *norm, l.qkv);
      multiply_rows(l.qkv, x, row, row + rows, store);
      row += rows;
    }
  }

  announce(l.attn_output);
  if (tokens_ == 1 && !head_shares_.empty() && places_[0].position >= kShareHeadsFrom) {
    for (size_t h = 0; h < kv_heads; h++) rotate_and_store(layer, 0, h);
    pool_.parallel(head_shares_.size(), [&](size_t item, unsigned thread) {
      attend(layer, 0, 1, head_shares_[item].first, head_shares_[item].second, thread);
    });
  } else if (single_) {
    // Each token only sees its own sequence, so its key and value can be stored just before they are used.
    pool_.parallel(tokens_ * kv_heads, [&](size_t item, unsigned thread) {
      rotate_and_store(layer, item / kv_heads, item % kv_heads);
      attend(layer, item / kv_heads, 1, item % kv_heads * group_, group_, thread);
    });
  } else {
    pool_.parallel(tokens_, [&](size_t token, unsigned) {
      for (size_t h = 0; h < kv_heads; h++) rotate_and_store(layer, token, h);
    });
    pool_.parallel(spans_.size() * kv_heads, [&](size_t item, unsigned thread) {
      // By head, so that the tokens a thread takes in a row share keys and values.
      const auto [token, count] = spans_[item % spans_.size()];
      attend(layer, token, count, item / spans_.size() * group_, group_, thread);
    });
  }

  x = quantize_rows(attended_, ld_attended, l.attn_sub_norm, l.attn_output);
  announce(l.gate);
  follow_with(&l.gate);
  if (l.attn_post_norm.empty()) {
    multiply(l.attn_output, x, [&](size_t t, size_t row, size_t count, const float* values) {
      ops_.add(values, count, hidden_.data() + t * ldh + row);
    });
    return;
  }
  multiply(l.attn_output, x, [&](size_t t, size_t row, size_t count, const float* values) {
    std::memcpy(attended_ + t * ld_attended + row, values, count * sizeof(float));
  });
  add_normed(attended_, ld_attended, l.attn_post_norm);
}

// RMSNorm(h) of every token, as floats in `attended_`, which is free until the attention itself.
const float* Forward::normed_rows(const std::vector<float>& weight) {
  const size_t d = spec_.embedding_length, ld = round_up(std::max(q_rows_, d), 16);
  pool_.parallel(tokens_, [&](size_t t, unsigned) {
    ops_.rms_norm(hidden_.data() + t * round_up(d, 16), weight.data(), d, spec_.rms_norm_epsilon, attended_ + t * ld);
  });
  return attended_;
}

// h += norm(x) row by row
void Forward::add_normed(float* x, size_t ldx, const std::vector<float>& weight) {
  const size_t d = spec_.embedding_length, ldh = round_up(d, 16);
  pool_.parallel(tokens_, [&](size_t t, unsigned) {
    float* row = x + t * ldx;
    float* h = hidden_.data() + t * ldh;
    ops_.rms_norm(row, weight.data(), d, spec_.rms_norm_epsilon, row);
    for (size_t i = 0; i < d; i++) h[i] += row[i];
  });
}

// h += Wdown * sub_norm(activation(Wgate n) * (Wup n)), n = RMSNorm(h)
void Forward::ffn_block(size_t layer) {
  const Layer& l = model_.layers()[layer];
  const size_t d = spec_.embedding_length, ldh = round_up(d, 16), f = spec_.ffn_length, ldf = round_up(f, 16);

  Activations x;
  if (l.gate_input_norm.empty()) {
    x = quantize_rows(hidden_.data(), ldh, l.ffn_norm, l.gate, &l.up);
    const size_t step = chunk_rows(f, tokens_), chunks = (f + step - 1) / step;
    follow_with(&l.down);
    pool_.parallel(chunks, [&](size_t chunk, unsigned thread) {
      const size_t begin = chunk * step, end = std::min(f, begin + step);
      Scratch& s = scratch_[thread];
      product(l.gate, x, begin, end, step, s, s.gates.data(), l.up.codes(begin));
      if (gated_rows(l, x, begin, end, step, s, ffn_ + begin, ldf)) return;
      const uint8_t* last = after_share(chunk, chunks, thread);
      product(l.up, x, begin, end, step, s, s.products.data(), last ? last : l.gate.codes(end < f ? end : begin));
      for (size_t t = 0; t < tokens_; t++) {
        ops_.gated(spec_.activation, s.gates.data() + t * step, s.products.data() + t * step, end - begin,
                   ffn_ + t * ldf + begin);
      }
    });
  } else {
    const size_t ldn = round_up(std::max(q_rows_, d), 16);
    const float* normed = normed_rows(l.ffn_norm);
    x = quantize_rows(normed, ldn, l.up_input_norm, l.up);
    multiply(l.up, x, [&](size_t t, size_t row, size_t count, const float* values) {
      std::memcpy(ffn_ + t * ldf + row, values, count * sizeof(float));
    });
    x = quantize_rows(normed, ldn, l.gate_input_norm, l.gate);
    multiply(l.gate, x, [&](size_t t, size_t row, size_t count, const float* values) {
      float* out = ffn_ + t * ldf + row;
      ops_.gated(spec_.activation, values, out, count, out);
    });
  }

  x = quantize_rows(ffn_, ldf, l.ffn_sub_norm, l.down);
  const Linear* next = layer + 1 < model_.layers().size() ? &model_.layers()[layer + 1].qkv : nullptr;
  follow_with(next);
  if (next) announce(*next);
  const bool add = l.ffn_post_norm.empty();
  const size_t ld = add ? ldh : round_up(std::max(q_rows_, d), 16);
  float* out = add ? hidden_.data() : attended_;
  if (!l.down.column_kernel || !multiply_live(l.down, x, out, ld, add)) {
    if (l.down.column_kernel) x = gather_live(l.down, x);
    multiply(l.down, x, [&](size_t t, size_t row, size_t count, const float* values) {
      if (add) {
        ops_.add(values, count, out + t * ld + row);
      } else {
        std::memcpy(out + t * ld + row, values, count * sizeof(float));
      }
    });
  }
  if (!add) add_normed(attended_, ld, l.ffn_post_norm);
}

BatchResult Forward::run(const Batch& batch, const std::atomic<bool>& cancelled) {
  const auto start = std::chrono::steady_clock::now();
  BatchResult result;
  tokens_ = batch.tokens.size();
  single_ = true;
  for (const auto& [from, to] : batch.copies) cache_.copy(from, to);  // before anything that may fail: see Context::finish
  spans_.clear();
  for (const auto& run : batch.runs) {
    if (run.count > 1) single_ = false;
    for (size_t i = 0; i < run.count; i++) places_[run.first + i] = {&run, run.start_position + i};
    for (size_t done = 0, count; done < run.count; done += count) {
      count = std::min(query_tokens(run.start_position + run.count), run.count - done);
      spans_.emplace_back(run.first + done, count);
    }
  }
  auto check = [&] {
    if (cancelled.load(std::memory_order_relaxed)) throw Error(kAborted, "The forward pass was aborted.");
  };
  check();
  embed(batch);
  for (size_t layer = 0; layer < spec_.layer_count; layer++) {
    // The layer after the next, as the next is under way; behind the last, those that the next token begins with.
    model_.read_ahead((layer + 2) % spec_.layer_count);
    attention_block(layer);
    check();
    ffn_block(layer);
    check();
  }
  output_head_.run(batch, hidden_.data(), round_up(spec_.embedding_length, 16), result);
  const std::chrono::duration<double, std::micro> elapsed = std::chrono::steady_clock::now() - start;
  result.microseconds = elapsed.count();
  return result;
}

}  // namespace bitnet
