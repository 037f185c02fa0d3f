// Variants of families that no tiny model of the fixtures has: StableLM 2 12B against a forward
// pass written out here in double, and the long rope factors of Phi 3 against the short ones.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/rng.h"
#include "gguf/writer.h"
#include "model/model.h"
#include "model_truth.h"

namespace maru::model {
namespace {

using Values = std::vector<double>;

// A file of one layer with random tensors, and those tensors for the test's own arithmetic.
class RandomFile {
 public:
  RandomFile(std::string architecture, uint64_t seed)
      : rng_(seed), architecture_(std::move(architecture)) {
    writer_.set_string("general.architecture", architecture_);
  }

  void set(const std::string& key, uint32_t value) {
    writer_.set_u32(architecture_ + "." + key, value);
  }
  void set(const std::string& key, float value) {
    writer_.set_f32(architecture_ + "." + key, value);
  }
  void set(const std::string& key, bool value) {
    writer_.set_bool(architecture_ + "." + key, value);
  }

  void add(const std::string& name, uint64_t rows, uint64_t cols, float mean, float spread) {
    std::vector<float> values(rows * cols);
    for (float& v : values) v = mean + (2 * rng_.uniform() - 1) * spread;
    add(name, rows, cols, values);
  }
  void add(const std::string& name, uint64_t rows, uint64_t cols,
           const std::vector<float>& values) {
    const uint64_t dims[] = {cols, rows};
    writer_.add_tensor(name, tensor::DType::kF32, std::span(dims).first(rows == 1 ? 1 : 2),
                       std::as_bytes(std::span(values)));
    tensors_[name] = Values(values.begin(), values.end());
  }

  const Values& operator[](const std::string& name) const { return tensors_.at(name); }

  // Logits of all ids, as Maru computes them for contexts of n_ctx.
  Result<std::vector<float>> logits(std::span<const TokenId> ids, size_t n_ctx) const {
    const std::string bytes = writer_.finish();
    MARU_TRY(file, gguf::File::parse(std::as_bytes(std::span(bytes))));
    ThreadPool pool(1);
    const kernels::KernelTable* kernels = kernels::available_kernels().back();
    MARU_TRY(model, load_model(file, {&pool, kernels, n_ctx}));
    n_ctx_train = model->info().n_ctx_train;
    return testing::eval_all(*model, ids);
  }
  mutable size_t n_ctx_train = 0;  // of the model loaded last

 private:
  Rng rng_;
  std::string architecture_;
  gguf::Writer writer_;
  std::map<std::string, Values> tensors_;
};

constexpr size_t kModel = 32, kHead = 2, kHeadSize = 16, kRot = 4, kFf = 48, kVocab = 10;

Values multiply(const Values& matrix, const Values& x) {
  Values y(matrix.size() / x.size());
  for (size_t r = 0; r < y.size(); ++r) {
    for (size_t c = 0; c < x.size(); ++c) y[r] += matrix[r * x.size() + c] * x[c];
  }
  return y;
}

// n values from `begin` on, in place, with weights from `first` on.
void layer_norm(Values& x, size_t begin, size_t n, const Values& w, size_t first, const Values* b) {
  double mean = 0, variance = 0;
  for (size_t i = 0; i < n; ++i) mean += x[begin + i] / static_cast<double>(n);
  for (size_t i = 0; i < n; ++i) {
    variance += std::pow(x[begin + i] - mean, 2) / static_cast<double>(n);
  }
  for (size_t i = 0; i < n; ++i) {
    double& v = x[begin + i];
    v = (v - mean) / std::sqrt(variance + 1e-5) * w[first + i] + (b == nullptr ? 0 : (*b)[i]);
  }
}

void rotate(Values& x, size_t begin, size_t position) {
  for (size_t i = 0; i < kRot / 2; ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / kRot;
    const double angle = static_cast<double>(position) * std::pow(10000.0, exponent);
    double& a = x[begin + i];
    double& b = x[begin + i + kRot / 2];
    const double old = a;
    a = old * std::cos(angle) - b * std::sin(angle);
    b = b * std::cos(angle) + old * std::sin(angle);
  }
}

RandomFile stablelm_12b() {
  RandomFile file("stablelm", 1);
  file.set("block_count", 1u);
  file.set("context_length", 128u);
  file.set("embedding_length", uint32_t{kModel});
  file.set("feed_forward_length", uint32_t{kFf});
  file.set("attention.head_count", uint32_t{kHead});
  file.set("attention.head_count_kv", 1u);
  file.set("attention.layer_norm_epsilon", 1e-5f);
  file.set("rope.dimension_count", uint32_t{kRot});
  file.set("use_parallel_residual", true);
  file.add("token_embd.weight", kVocab, kModel, 0, 1);
  for (const std::string name : {"output_norm", "blk.0.attn_norm"}) {
    file.add(name + ".weight", 1, kModel, 1, 0.5f);
    file.add(name + ".bias", 1, kModel, 0, 0.5f);
  }
  file.add("blk.0.attn_q.weight", kHead * kHeadSize, kModel, 0, 0.5f);
  file.add("blk.0.attn_k.weight", kHeadSize, kModel, 0, 0.5f);
  file.add("blk.0.attn_v.weight", kHeadSize, kModel, 0, 0.5f);
  file.add("blk.0.attn_output.weight", kModel, kHead * kHeadSize, 0, 0.5f);
  file.add("blk.0.attn_q_norm.weight", kHead, kHeadSize, 1, 0.9f);
  file.add("blk.0.attn_k_norm.weight", 1, kHeadSize, 1, 0.9f);
  file.add("blk.0.ffn_gate.weight", kFf, kModel, 0, 0.3f);
  file.add("blk.0.ffn_up.weight", kFf, kModel, 0, 0.3f);
  file.add("blk.0.ffn_down.weight", kModel, kFf, 0, 0.3f);
  return file;
}

// The definition, position by position.
Values stablelm_logits(const RandomFile& file, std::span<const TokenId> ids) {
  std::vector<Values> keys, values;
  Values logits;
  for (size_t t = 0; t < ids.size(); ++t) {
    const Values& table = file["token_embd.weight"];
    Values x(table.begin() + ids[t] * ptrdiff_t{kModel},
             table.begin() + (ids[t] + 1) * ptrdiff_t{kModel});
    Values h = x;
    layer_norm(h, 0, kModel, file["blk.0.attn_norm.weight"], 0, &file["blk.0.attn_norm.bias"]);
    Values q = multiply(file["blk.0.attn_q.weight"], h);
    Values k = multiply(file["blk.0.attn_k.weight"], h);
    layer_norm(k, 0, kHeadSize, file["blk.0.attn_k_norm.weight"], 0, nullptr);
    rotate(k, 0, t);
    keys.push_back(k);
    values.push_back(multiply(file["blk.0.attn_v.weight"], h));
    Values mixed(kHead * kHeadSize);
    for (size_t head = 0; head < kHead; ++head) {
      const size_t begin = head * kHeadSize;
      layer_norm(q, begin, kHeadSize, file["blk.0.attn_q_norm.weight"], begin, nullptr);
      rotate(q, begin, t);
      Values weights;
      double sum = 0;
      for (const Values& key : keys) {
        double score = 0;
        for (size_t d = 0; d < kHeadSize; ++d) score += q[begin + d] * key[d];
        weights.push_back(std::exp(score / std::sqrt(double{kHeadSize})));
        sum += weights.back();
      }
      for (size_t s = 0; s <= t; ++s) {
        for (size_t d = 0; d < kHeadSize; ++d) {
          mixed[begin + d] += weights[s] / sum * values[s][d];
        }
      }
    }
    const Values attention = multiply(file["blk.0.attn_output.weight"], mixed);
    Values hidden = multiply(file["blk.0.ffn_gate.weight"], h);  // of the same norm
    const Values up = multiply(file["blk.0.ffn_up.weight"], h);
    for (size_t i = 0; i < kFf; ++i) hidden[i] *= up[i] / (1 + std::exp(-hidden[i]));
    const Values ffn = multiply(file["blk.0.ffn_down.weight"], hidden);
    for (size_t d = 0; d < kModel; ++d) x[d] += attention[d] + ffn[d];
    layer_norm(x, 0, kModel, file["output_norm.weight"], 0, &file["output_norm.bias"]);
    const Values row = multiply(table, x);
    logits.insert(logits.end(), row.begin(), row.end());
  }
  return logits;
}

TEST(FamilyVariants, StableLm12bMatchesItsDefinition) {
  const RandomFile file = stablelm_12b();
  const std::vector<TokenId> ids = {3, 1, 4, 1, 5, 9, 2, 6};
  const auto got = file.logits(ids, 0);
  ASSERT_TRUE(got.ok()) << got.error().message;
  const Values want = stablelm_logits(file, ids);
  ASSERT_EQ(got->size(), want.size());
  // Logits reach about 10; the cache is f16.
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR((*got)[i], want[i], 1e-2) << i;
}

// The same tensors whatever the factors are called.
RandomFile phi3(const std::vector<float>& short_factors, const std::vector<float>& long_factors) {
  RandomFile file("phi3", 2);
  file.set("block_count", 1u);
  file.set("context_length", 1024u);
  file.set("rope.scaling.original_context_length", 64u);
  file.set("rope.scaling.attn_factor", 1.2f);
  file.set("embedding_length", uint32_t{kModel});
  file.set("feed_forward_length", uint32_t{kFf});
  file.set("attention.head_count", uint32_t{kHead});
  file.set("attention.layer_norm_rms_epsilon", 1e-5f);
  file.add("token_embd.weight", kVocab, kModel, 0, 1);
  for (const char* name :
       {"output_norm.weight", "blk.0.attn_norm.weight", "blk.0.ffn_norm.weight"}) {
    file.add(name, 1, kModel, 1, 0.5f);
  }
  file.add("blk.0.attn_qkv.weight", 3 * kModel, kModel, 0, 0.5f);
  file.add("blk.0.attn_output.weight", kModel, kModel, 0, 0.5f);
  file.add("blk.0.ffn_up.weight", 2 * kFf, kModel, 0, 0.3f);
  file.add("blk.0.ffn_down.weight", kModel, kFf, 0, 0.3f);
  file.add("rope_factors_short.weight", 1, kHeadSize / 2, short_factors);
  file.add("rope_factors_long.weight", 1, kHeadSize / 2, long_factors);
  return file;
}

TEST(FamilyVariants, Phi3TakesTheLongFactorsForALongContext) {
  const std::vector<float> ones(kHeadSize / 2, 1.0f);
  std::vector<float> many;
  for (size_t i = 0; i < kHeadSize / 2; ++i) many.push_back(1.5f + static_cast<float>(i));
  const std::vector<TokenId> ids = {3, 1, 4, 1, 5, 9, 2, 6};
  const RandomFile one_many = phi3(ones, many), many_one = phi3(many, ones);
  const auto short_context = one_many.logits(ids, 0);
  ASSERT_TRUE(short_context.ok()) << short_context.error().message;
  EXPECT_EQ(one_many.n_ctx_train, 64u);  // where the short factors hold
  EXPECT_EQ(*short_context, *one_many.logits(ids, 64));
  EXPECT_EQ(*short_context, *many_one.logits(ids, 65));
  EXPECT_EQ(many_one.n_ctx_train, 1024u);
  const auto long_context = one_many.logits(ids, 1000);
  EXPECT_EQ(*long_context, *many_one.logits(ids, 0));
  EXPECT_NE(*long_context, *short_context);
}

}  // namespace
}  // namespace maru::model
