// model/decoder.h - the forward pass of every decoder family: a straight list of stages per layer,
// each ended by one barrier.
//
//   attention_in    add what is pending, norm, q k v, their norms and rope, write the cache
//   attend          scores and weighted values (attention.cc)
//   attention_out   output projection
//   ffn_in          add, norm, gate and up, activation          or  experts (moe.cc)
//   ffn_out         down projection
//
// The last stage is in output.cc. In layers without attention recurrent.cc takes the place of the
// first three.
//
// What a stage leaves to be added to the residual stream is "pending": the next stage adds it while
// it makes its own input, which saves a barrier. Owned by engine/; runs on its thread and pool.
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "model/adapter.h"
#include "model/attention.h"
#include "model/kv_cache.h"
#include "model/model.h"
#include "model/pass.h"
#include "model/spec.h"
#include "model/weights.h"
#include "model/workspace.h"

namespace maru::model {

class Decoder final : public Model {
 public:
  static Result<std::unique_ptr<Model>> create(DecoderSpec spec, DecoderWeights weights,
                                               const LoadOptions& options, std::string name);

  const ModelInfo& info() const override { return info_; }
  Result<AdapterId> add_adapter(const gguf::File& file, const LoadOptions& options) override;
  Result<std::unique_ptr<KvStore>> make_kv_store(size_t n_blocks, size_t n_states) const override;
  void forward(std::span<const Slice> batch, KvStore& kv, std::span<float> logits) override;
  void forward_hidden(std::span<const Slice> batch, KvStore& kv, std::span<float> hidden) override;
  Counters counters() const override { return work_.counters(); }

 private:
  using Worker = Workspace::Worker;

  // Something to add to the residual stream, after a norm where there is one.
  struct Pending {
    const float* y = nullptr;
    const NormWeights* norm = nullptr;
  };

  // One tile of the attention: queries of some tokens and heads that share a KV head.
  struct AttentionTile {
    const Run* run;
    size_t head_kv;
    size_t head_begin, head_end;  // query heads
    size_t row_begin, row_end;    // rows of the pass
    size_t span_begin, span_end;  // of keys that any of them sees
    bool is_shared = false;       // its spans are shared out; only then the next two count
    size_t partials_begin = 0;    // in partials_
    uint32_t n_pieces_left = 0;   // whoever brings it to 0 merges

    size_t n_head() const { return head_end - head_begin; }
    size_t n_q() const { return n_head() * (row_end - row_begin); }
  };
  // Some of its spans: all of them, or a piece.
  struct AttentionItem {
    size_t tile;
    size_t span_begin, span_end;
  };
  // Where a worker's memory for a tile begins, part by part.
  struct AttentionMemory {
    float *q, *out, *max, *sum;             // the queries and the running result
    float *part_out, *part_max, *part_sum;  // one partial
    kernels::KeyRange* keys;
  };

  // What a stage multiplies where rows of the pass have adapters; else no matrices.
  struct AdaptedStage {
    std::vector<const Matrix*> matrices;
    const std::vector<size_t>* rows = nullptr;  // of the pass; null: all
    size_t n_rows = 0;
  };

  // One token's use of one expert.
  struct Slot {
    size_t expert;
    size_t row;
    size_t rank;  // among the row's choices; they are added in this order
    float weight;
  };
  struct ExpertTile {
    Tile tile;
    size_t expert;
    size_t slot_begin, slot_end;
  };

  Decoder(DecoderSpec spec, DecoderWeights weights, Workspace work, ModelInfo info);

  enum class Want : uint8_t { kLogits, kHidden };
  void forward_batch(std::span<const Slice> batch, KvStore& kv, Want want, std::span<float> out);
  void forward_pass(KvCache& kv, Want want, std::span<float> out);
  void fill_ropes();
  void mix(size_t i, KvCache& kv);  // attention, or what the layer has instead

  void attention_in(size_t i, KvCache& kv);
  void attend(size_t i, KvCache& kv);
  void attention_out(size_t i);
  void latent_in(size_t i, KvCache& kv);  // latent.cc
  void latent_row(size_t i, size_t row, Worker& worker, KvCache& kv);
  void latent_out(size_t i);
  void mix_recurrent(size_t i, KvCache& kv);  // recurrent.cc
  void recurrent_in(size_t i);
  void convolve(size_t i, KvCache& kv);
  void set_gates(size_t i, size_t row);
  void recur(size_t i, KvCache& kv);
  const float* recurrent_row(size_t i, size_t row, Worker& worker) const;
  void ffn_in(size_t i);
  void ffn_out(size_t i);
  void output(std::span<float> logits);  // output.cc
  bool wants_few_logits() const;
  void output_best(std::span<float> logits);
  void find_uppers();
  void find_seeds(size_t row);
  float cut_of(size_t row, std::span<const float> logits);
  void output_hidden(std::span<float> hidden);

  // Adapters (adapted.cc). A stage begins with its matrices and, where they are not those of the
  // pass, its rows; each row's part is made beside its activations, and added to each tile.
  void begin_adapted(std::initializer_list<const Matrix*> matrices,
                     const std::vector<size_t>* rows = nullptr);
  // Gives x back.
  const float* with_low(const float* x, size_t row, Worker& worker);
  void add_low(const Tile& tile, float* y, size_t y_stride, Worker& worker);
  AdapterId adapter_of(size_t row) const;

  // The norm of one row of the residual stream, with what is pending added. Returns worker.row.
  const float* residual_row(const NormWeights& norm, size_t row, Worker& worker, bool owner);
  // After a stage whose inputs were residual_row()s: x has been replaced.
  void finish_residual();
  void embed(TokenId token, float* x) const;
  // first: of the norm's weights, where it has more than n.
  void apply_norm(const NormWeights& norm, const float* x, float* y, size_t n,
                  size_t first = 0) const;

  enum class Part : uint8_t { kQuery, kGate, kKey, kValue };
  void make_qkv_tiles(const LayerWeights& layer);
  void finish_rows(size_t i, KvCache& kv);
  void finish_head(size_t i, Part part, size_t head, size_t row, float* values, KvCache& kv);
  void make_attention_tiles(size_t i);
  void make_attention_items();
  AttentionMemory attention_memory(Worker& worker) const;
  void attend_item(size_t i, const AttentionItem& item, KvCache& kv, Worker& worker);
  void attend_span(size_t i, const AttentionTile& tile, size_t span, KvCache& kv,
                   const AttentionMemory& memory);
  void begin_attention(size_t i, const AttentionTile& tile, const AttentionMemory& memory) const;
  void merge_partial(const AttentionTile& tile, const AttentionMemory& memory) const;
  void finish_attention(const AttentionTile& tile, const AttentionMemory& memory);
  // y = matrix * x for all rows, into a [n_tokens, d_model].
  void project(const Matrix& matrix, size_t n_cols, const float* x, size_t x_stride, float* y);
  void project(const Matrix& matrix, size_t n_cols, Workspace::MakeRow make, float* y);
  const float* ffn_row(const LayerWeights& layer, size_t row, Worker& worker, bool owner);
  void ffn_tile(const Ffn& ffn, const Tile& up, const std::byte* gate_in, const std::byte* up_in,
                PerForm<size_t> strides, size_t n_rows, float* hidden, Worker& worker);
  // up is scratch.
  void activate(const float* gate, float* up, float* out, size_t n) const;
  void finish_logits(size_t begin, size_t n, float* logits) const;

  void experts(size_t i);
  void route(size_t i);
  void run_slots(FunctionRef<void(size_t slot)> body);
  void cut_expert_tiles(const LayerWeights& layer, Matrix Ffn::* matrix);
  void experts_down(size_t i);
  void add_slots(size_t row);

  DecoderSpec spec_;
  DecoderWeights weights_;
  Workspace work_;
  ModelInfo info_;
  KvLayout kv_layout_;
  StateLayout state_layout_;
  std::vector<float> query_unit_, key_unit_;  // [d_k]: a norm's weights that make unit lengths
  bool heads_are_tiles_;                      // heads begin at multiples of 16 rows
  std::vector<std::unique_ptr<Adapter>> adapters_;  // AdapterId - 1
  AdaptedStage stage_;
  Pass pass_;

  // State of the pass in progress.
  bool embed_pending_ = false;
  std::vector<Pending> pending_;
  std::vector<Tile> tiles_;
  std::vector<AttentionTile> attention_tiles_;
  std::vector<AttentionItem> items_;
  std::vector<float> partials_;  // of tiles in pieces: [span][out, max, sum]; grows as contexts do
  std::vector<Slot> slots_;      // sorted by expert
  std::vector<size_t> slot_of_;  // [n_tokens, choices of a row] -> index of slots_
  std::vector<ExpertTile> expert_tiles_;
  OutputSearch search_;
};

}  // namespace maru::model
