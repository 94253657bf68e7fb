// Forward passes over a model, for targets that compare what comes out.
#pragma once

#include <cmath>
#include <cstring>

#include "error.h"
#include "fuzz/fuzz.h"
#include "tests/session.h"

namespace bitnet::fuzz {

using tests::Session;

// The next pass's results; throws what it ended by.
inline BatchResult result_of(Session& session) {
  const auto job = session.wait();
  if (job->error) std::rethrow_exception(job->error);
  return std::move(job->result);
}

// A prompt of `length` tokens of a new sequence, then two decoded tokens with as many candidates as a sketch may find:
// all logits and the candidates' scores. Throws what a pass ended by.
inline std::vector<float> play(Session& session, size_t length) {
  Context& context = session.context();
  const int32_t vocabulary = static_cast<int32_t>(context.model().spec().vocabulary_size);
  const int32_t id = context.create_sequence();
  std::vector<int32_t> prompt(length);
  for (size_t i = 0; i < length; i++) prompt[i] = static_cast<int32_t>(i * 7) % vocabulary;
  std::vector<float> out;
  auto take = [&](std::vector<float> values) { out.insert(out.end(), values.begin(), values.end()); };
  session.submit({{id, prompt}});
  take(result_of(session).logits);
  for (int32_t token = 1; token <= 2; token++) {
    ForwardRequest r;
    r.tokens = {token % vocabulary};
    r.sequences = {id};
    r.want = {1};
    r.candidates = 1 + static_cast<size_t>(vocabulary) / 8;
    r.log_sum_exp = false;
    context.submit(std::move(r), nullptr);
    take(result_of(session).candidate_logits);
    take(context.last_logits(0));
  }
  context.release_sequence(id);
  return out;
}

inline bool finite(const std::vector<float>& values) {
  for (const float value : values) {
    if (!std::isfinite(value)) return false;
  }
  return true;
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || !std::memcmp(a.data(), b.data(), a.size() * sizeof(float)));
}

}  // namespace bitnet::fuzz
