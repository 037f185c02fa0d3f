// tests/model_truth.h - comparing logits with the truth: the arithmetic of the tolerances that
// tests/data/{tiny,real}_models state, in one place; and evaluating ids with a model.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "gguf/file.h"
#include "model/model.h"

namespace maru::testing {

using model::BlockId;
using model::TokenId;

inline std::vector<double> log_softmax(std::span<const float> logits) {
  const double best = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float x : logits) sum += std::exp(x - best);
  std::vector<double> out;
  for (const float x : logits) out.push_back(x - best - std::log(sum));
  return out;
}

// KL(truth || got) in nats.
inline double kl_divergence(std::span<const float> truth, std::span<const float> got) {
  const auto p = log_softmax(truth);
  const auto q = log_softmax(got);
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) sum += std::exp(p[i]) * (p[i] - q[i]);
  return sum;
}

// The same over the buckets that `top` lists as [id, log-probability], and the rest as one.
inline double kl_of_buckets(const nlohmann::json& top, std::span<const float> got) {
  const auto q = log_softmax(got);
  double sum = 0, p_rest = 1, q_rest = 1;
  for (const auto& entry : top) {
    const double log_p = entry[1];
    const double log_q = q[entry[0].get<size_t>()];
    sum += std::exp(log_p) * (log_p - log_q);
    p_rest -= std::exp(log_p);
    q_rest -= std::exp(log_q);
  }
  p_rest = std::max(p_rest, 1e-12);
  return sum + p_rest * std::log(p_rest / std::max(q_rest, 1e-12));
}

inline size_t argmax(std::span<const float> x) {
  return static_cast<size_t>(std::max_element(x.begin(), x.end()) - x.begin());
}

inline nlohmann::json read_json(const std::filesystem::path& path) {
  std::ifstream in(path);
  return nlohmann::json::parse(in);
}

inline std::vector<float> read_floats(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::vector<float> values(std::filesystem::file_size(path) / sizeof(float));
  in.read(reinterpret_cast<char*>(values.data()),
          static_cast<std::streamsize>(values.size() * sizeof(float)));
  return values;
}

// Where `maru pull` puts a model; the file may be absent.
inline std::filesystem::path stored_model(const std::string& name) {
  const char* home = std::getenv("MARU_HOME");
  const char* user = std::getenv("HOME");
  const std::filesystem::path root =
      home != nullptr ? std::filesystem::path(home)
                      : std::filesystem::path(user == nullptr ? "" : user) / ".maru";
  return root / "models" / (name + ".gguf");
}

// A model and what it needs to live.
struct LoadedModel {
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<gguf::File> file;
  std::unique_ptr<model::Model> model;

  static Result<LoadedModel> load(const std::filesystem::path& path,
                                  const kernels::KernelTable& kernels, size_t n_threads) {
    LoadedModel loaded;
    loaded.pool = std::make_unique<ThreadPool>(n_threads);
    MARU_TRY(file, gguf::File::open(path));
    loaded.file = std::make_unique<gguf::File>(std::move(file));
    MARU_TRY(made, model::load_model(*loaded.file, {loaded.pool.get(), &kernels}));
    loaded.model = std::move(made);
    return loaded;
  }
};

// One sequence being evaluated piece by piece in a store of its own.
class Sequence {
 public:
  Sequence(model::Model& model, size_t n_tokens_max) : model_(model) {
    const size_t n_blocks = n_tokens_max / model::kBlockTokens + 1;
    kv_ = std::move(model.make_kv_store(n_blocks, 1)).value();
    // Blocks in an order of their own: nothing may depend on their numbers.
    for (size_t i = n_blocks; i > 0; --i) blocks_.push_back(static_cast<BlockId>(i - 1));
  }

  // Logits of the last n_logits ids, [n_logits, n_vocab].
  std::vector<float> eval(std::span<const TokenId> ids, size_t n_logits) {
    std::vector<float> logits(n_logits * model_.info().n_vocab);
    const model::Slice slice = {ids, position_, blocks_, n_logits};
    model_.forward({&slice, 1}, *kv_, logits);
    position_ += ids.size();
    return logits;
  }

  size_t position() const { return position_; }

 private:
  model::Model& model_;
  std::unique_ptr<model::KvStore> kv_;
  std::vector<BlockId> blocks_;
  size_t position_ = 0;
};

inline std::vector<float> eval_all(model::Model& model, std::span<const TokenId> ids) {
  return Sequence(model, ids.size()).eval(ids, ids.size());
}

}  // namespace maru::testing
