// engine/fake_model.h - a model of a few lines for tests of engine/ and link/: its logits are a
// hash of the whole sequence, carried forward through the KV blocks.
//
// Logits that are not wanted are -inf. A wrong block, a wrong position, a stale copy or a token
// that was skipped gives other logits. A recurrent one carries the hash in its states as well, and
// aborts where the two differ. Like the real ones it is batch invariant. Threads: as model::Model.
#pragma once
#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "base/check.h"
#include "base/rng.h"
#include "engine/token_table.h"
#include "model/model.h"

namespace maru::engine {

class FakeKv final : public model::KvStore {
 public:
  struct State {
    size_t position = 0;
    uint64_t hash = 0;
  };

  FakeKv(size_t n_blocks, size_t n_states)
      : n_blocks_(n_blocks), hashes(n_blocks * model::kBlockTokens), states(n_states) {}
  size_t n_blocks() const override { return n_blocks_; }
  void copy_block(model::BlockId from, model::BlockId to, size_t n_tokens) override {
    for (size_t i = 0; i < n_tokens; ++i) at(to, i) = at(from, i);
  }
  void copy_state(model::StateId from, model::StateId to) override {
    states.at(to) = states.at(from);
  }
  std::span<std::byte> block_bytes(model::BlockId block) override {
    return std::as_writable_bytes(
        std::span(hashes).subspan(block * model::kBlockTokens, model::kBlockTokens));
  }
  State& state(model::StateId id) { return states.at(id); }
  uint64_t& at(model::BlockId block, size_t i) {
    return hashes.at(block * model::kBlockTokens + i);
  }

 private:
  size_t n_blocks_;
  std::vector<uint64_t> hashes;
  std::vector<State> states;
};

class FakeModel final : public model::Model {
 public:
  static constexpr size_t kVector = 4;  // d_model

  explicit FakeModel(size_t n_vocab, bool is_recurrent = false) {
    info_.architecture = "fake";
    info_.n_vocab = n_vocab;
    info_.d_model = kVector;
    info_.n_ctx_train = 1 << 20;
    info_.kv_block_bytes = model::kBlockTokens * sizeof(uint64_t);
    info_.state_bytes = is_recurrent ? sizeof(FakeKv::State) : 0;
  }

  const model::ModelInfo& info() const override { return info_; }
  Result<std::unique_ptr<model::KvStore>> make_kv_store(size_t n_blocks,
                                                        size_t n_states) const override {
    return std::unique_ptr<model::KvStore>(new FakeKv(n_blocks, n_states));
  }
  model::Counters counters() const override { return {.rows = n_rows_}; }

  void forward(std::span<const model::Slice> batch, model::KvStore& kv,
               std::span<float> logits) override {
    evaluate(batch, kv, logits, info_.n_vocab);
  }
  void forward_hidden(std::span<const model::Slice> batch, model::KvStore& kv,
                      std::span<float> hidden) override {
    evaluate(batch, kv, hidden, kVector);
  }

  // A mixture of experts, of which a token reads few.
  void make_sparse() { info_.weight_bytes = 10 * (info_.bytes_per_token = 100); }

  bool broken = false;
  // Mostly goes round in circles: each token likes one to follow it, three times of four.
  bool repeats = false;

  // As little as WantedLogits allows is left of a row.
  static void forget_unwanted(const model::WantedLogits& wanted, std::span<float> logits) {
    if (wanted.n_best == 0) return;
    constexpr float kLowest = -std::numeric_limits<float>::infinity();
    const auto is_listed = [&](size_t i) {
      return std::ranges::binary_search(wanted.listed, static_cast<model::TokenId>(i));
    };
    const auto is_allowed = [&](size_t i) {
      if (wanted.allowed.empty()) return true;
      return i / 64 < wanted.allowed.size() && (wanted.allowed[i / 64] >> (i % 64) & 1) != 0;
    };
    std::vector<float> counted;
    for (size_t i = 0; i < logits.size(); ++i) {
      if (is_allowed(i) && !is_listed(i)) counted.push_back(logits[i]);
    }
    std::ranges::sort(counted, std::greater<>());
    const size_t n = wanted.n_best;
    const float cut = counted.size() < n ? kLowest : counted[n - 1] - wanted.within;
    for (size_t i = 0; i < logits.size(); ++i) {
      if (!is_listed(i) && (!is_allowed(i) || logits[i] < cut)) logits[i] = kLowest;
    }
  }

 private:
  // Rows of n_values numbers, from the hash at their position.
  void evaluate(std::span<const model::Slice> batch, model::KvStore& kv, std::span<float> rows,
                size_t n_values) {
    auto& store = static_cast<FakeKv&>(kv);
    for (const model::Slice& slice : batch) {
      CHECK(!slice.tokens.empty() && slice.n_logits <= slice.tokens.size());
      for (size_t i = 0; i < slice.tokens.size(); ++i) {
        const size_t position = slice.position + i;
        uint64_t hash = 1;
        if (position > 0) {
          hash = store.at(slice.blocks[(position - 1) / model::kBlockTokens],
                          (position - 1) % model::kBlockTokens);
        }
        if (info_.state_bytes > 0 && position > 0) {
          const FakeKv::State& state = store.state(slice.state);
          CHECK(state.position == position && state.hash == hash);
        }
        hash = Rng(hash * 31 + static_cast<uint64_t>(slice.tokens[i]) + position +
                   slice.adapter * 0x10001)
                   .next();
        store.at(slice.blocks[position / model::kBlockTokens], position % model::kBlockTokens) =
            hash;
        if (info_.state_bytes > 0) store.state(slice.state) = {position + 1, hash};
        ++n_rows_;
        if (slice.tokens.size() - i > slice.n_logits) continue;
        Rng rng(hash);
        for (size_t v = 0; v < n_values; ++v) {
          rows[v] = broken ? NAN : static_cast<float>(rng.uniform() * 8);
        }
        if (repeats && rng.below(4) != 0) {
          rows[(static_cast<size_t>(slice.tokens[i]) * 5 + 1) % n_values] += 8;
        }
        if (n_values == info_.n_vocab) forget_unwanted(slice.wanted, rows.first(n_values));
        rows = rows.subspan(n_values);
      }
    }
    CHECK(rows.empty());
  }

  model::ModelInfo info_;
  uint64_t n_rows_ = 0;
};

// Letters and, as the last id, a control token that ends a generation.
inline TokenTable fake_tokens(size_t n_vocab) {
  std::vector<TokenTable::Token> tokens;
  for (size_t i = 0; i + 1 < n_vocab; ++i) {
    tokens.push_back({.bytes = std::string(1, static_cast<char>('a' + i % 26))});
  }
  tokens.push_back({.bytes = "<end>", .is_control = true, .is_eog = true});
  return TokenTable(tokens);
}

}  // namespace maru::engine
