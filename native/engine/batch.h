// What one forward pass computes, and what it gives back.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/kv_cache.h"

namespace bitnet {

enum class Want : uint8_t { kNothing = 0, kCandidates = 1, kLogits = 2, kHidden = 3 };

// Consecutive tokens of one sequence.
struct Run {
  size_t first;           // index of the first token in the batch
  size_t count;
  size_t start_position;  // position of the first token
  std::vector<BlockId> blocks;
};

struct Batch {
  std::vector<int32_t> tokens;
  std::vector<Run> runs;
  std::vector<Want> want;  // per token
  size_t candidates = 0;
  bool log_sum_exp = true;  // whether the outputs' log-sum-exp is wanted: it takes every logit
  std::vector<float> temperatures;     // per output with candidates; empty: all 1
  std::vector<int32_t> extra_ids;
  std::vector<int32_t> extra_offsets;  // outputs + 1 entries, or empty
  // Masks of tokens that may be candidates, one behind the other: of token i bit i % 32 of word i / 32.
  std::vector<int32_t> masks;
  std::vector<int32_t> mask_of;  // per output with candidates: which mask; -1: any token. Empty: any token for all
  // Blocks to copy before the pass (a fork's partly filled last block): from, to.
  std::vector<std::pair<BlockId, BlockId>> copies;
};

struct BatchResult {
  std::vector<int32_t> candidate_ids;
  std::vector<float> candidate_logits;
  std::vector<float> log_sum_exp;
  std::vector<float> extra_logits;
  std::vector<float> logits;
  std::vector<float> hidden;
  double microseconds = 0;
};

}  // namespace bitnet
