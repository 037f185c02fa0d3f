// model/encoder.h - the forward pass of every encoder family: all tokens of a text see each other,
// and norms stand after what they follow.
//
//   embed           token, position and type, then a norm
//   project_qkv     q k v, rope; keys and values of the whole text into blocks of 64
//   attend          scores and weighted values over all blocks in order
//   finish_layer    output projection, add, norm; feed-forward, add, norm
//
// Called by engine/ as an EmbeddingModel, on its thread and pool. Texts of one call share the
// products of matrices; the arithmetic of a row is the decoder's (docs/formats/numerics.md).
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/kv_block.h"
#include "model/embedding.h"
#include "model/encoder_spec.h"
#include "model/encoder_weights.h"
#include "model/workspace.h"

namespace maru::model {

class Encoder final : public EmbeddingModel {
 public:
  static Result<std::unique_ptr<EmbeddingModel>> create(EncoderSpec spec, EncoderWeights weights,
                                                        const LoadOptions& options,
                                                        std::string name);

  const ModelInfo& info() const override { return info_; }
  Pooling pooling() const override { return spec_.pooling; }
  const RankHead* rank_head() const override {
    return weights_.rank_head ? &*weights_.rank_head : nullptr;
  }
  Result<void> embed(std::span<const EmbedText> texts, std::span<float> out) override;

 private:
  using Worker = Workspace::Worker;

  struct Row {
    TokenId token;
    size_t position;
    size_t block;  // that holds this position
    size_t type;   // 1 in the second text of a pair
  };
  // One text.
  struct Run {
    size_t row_begin;
    size_t n_rows;
    size_t block_begin;
  };
  struct AttentionItem {
    const Run* run;
    size_t head;
    size_t row_begin, row_end;
  };

  Encoder(EncoderSpec spec, EncoderWeights weights, Workspace work, ModelInfo info);

  Result<void> begin(std::span<const EmbedText> texts);
  void embed_rows(float* x);
  // Rows [begin, begin + n) of x; n <= kPassRows.
  void project_qkv(const EncoderLayer& layer, const float* x, size_t begin, size_t n);
  void finish_qkv(const EncoderLayer& layer, size_t begin, size_t i);
  void attend();
  void attend_item(const AttentionItem& item, Worker& worker);
  void finish_layer(const EncoderLayer& layer, float* x, size_t begin, size_t n);
  void feed_forward(const Ffn& ffn, const float* x, size_t n);
  // y = matrix * input + bias, into work_.y[0].
  void project(const Matrix& matrix, const float* input, size_t stride, size_t n);
  // x = norm(x + work_.y[0]).
  void add_and_norm(const NormWeights& norm, float* x, size_t n);
  uint16_t* keys(size_t block, size_t head);
  uint16_t* values(size_t block, size_t head) { return keys(block, head) + head_.k_values(); }

  EncoderSpec spec_;
  EncoderWeights weights_;
  Workspace work_;
  ModelInfo info_;
  kernels::KvShape head_;

  // State of the call in progress. Memory grows to the largest call.
  std::vector<Row> rows_;
  std::vector<Run> runs_;
  std::vector<AttentionItem> items_;
  std::vector<Tile> tiles_;
  std::vector<float> q_;     // [n_rows, d_model], scaled and rotated
  std::vector<float> attn_;  // [n_rows, d_model]
  std::vector<float> rope_;  // [n_rows, n_rot]
  Arena kv_;                 // blocks of the layer in progress: [block][head] K then V
};

}  // namespace maru::model
