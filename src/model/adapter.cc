#include "model/adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "model/packer.h"
#include "model/workspace.h"

namespace maru::model {
namespace {

constexpr std::string_view kHalfA = ".lora_a", kHalfB = ".lora_b";

// A tensor, or a part of its rows, that an adapter may change.
struct Target {
  std::string tensor;
  RowRange rows;
  const Matrix* matrix;
};

class Targets {
 public:
  Targets(const DecoderSpec& spec, const DecoderWeights& weights) : file_(*weights.file) {
    for (size_t i = 0; i < spec.n_layer(); ++i) {
      const LayerWeights& layer = weights.layers[i];
      const std::string blk = fmt::format("blk.{}.", i);
      if (spec.attends(i) && spec.latent.d_latent == 0) {
        add(blk, "attn_qkv", {"attn_q", "attn_k", "attn_v"}, {&layer.q, &layer.k, &layer.v});
        add(blk + "attn_output.weight", layer.out);
      }
      if (!spec.has_ffn || spec.layers[i].experts) continue;
      add(blk, "ffn_up", {"ffn_gate", "ffn_up"}, {&layer.ffn.gate, &layer.ffn.up});
      add(blk + "ffn_down.weight", layer.ffn.down);
    }
    add("output.weight", weights.output);
  }

  const std::vector<Target>& list() const { return list_; }

 private:
  bool has(const std::string& tensor) const { return file_.find_tensor(tensor) != nullptr; }

  void add(const std::string& tensor, const Matrix& matrix) {
    const size_t n = matrix.packed.n_rows;
    if (has(tensor)) list_.push_back({tensor, {0, n, n}, &matrix});
  }
  // Matrices with a tensor each, or one after the other in `fused`.
  void add(const std::string& blk, const std::string& fused, std::vector<std::string> names,
           const std::vector<const Matrix*>& matrices) {
    const bool is_fused = !has(blk + names.front() + ".weight") && has(blk + fused + ".weight") &&
                          matrices.front()->present();
    size_t n_all = 0, begin = 0;
    for (const Matrix* matrix : matrices) n_all += matrix->packed.n_rows;
    for (size_t i = 0; i < matrices.size(); ++i) {
      if (!is_fused) {
        add(blk + names[i] + ".weight", *matrices[i]);
        continue;
      }
      const size_t n = matrices[i]->packed.n_rows;
      list_.push_back({blk + fused + ".weight", {begin, n, n_all}, matrices[i]});
      begin += n;
    }
  }

  const gguf::File& file_;
  std::vector<Target> list_;
};

Result<float> read_alpha(const gguf::File& file, const DecoderSpec& spec) {
  const gguf::Metadata& metadata = file.metadata();
  MARU_TRY(kind, metadata.get_string_or("general.type", ""));
  MARU_TRY(type, metadata.get_string_or("adapter.type", ""));
  if (kind != "adapter") {
    return Error::unsupported(
        fmt::format("this file is no adapter: its general.type is '{}', expected 'adapter'", kind));
  }
  if (type != "lora") {
    return Error::unsupported(fmt::format("adapter.type is '{}'; accepted: lora", type));
  }
  MARU_TRY(architecture, metadata.get_string("general.architecture"));
  if (architecture != spec.architecture) {
    return Error::corrupt(fmt::format("the adapter is for architecture '{}', the model is '{}'",
                                      architecture, spec.architecture));
  }
  MARU_TRY(alpha, metadata.get_f32_or("adapter.lora.alpha", 0));
  if (!std::isfinite(alpha)) return Error::corrupt("adapter.lora.alpha is not a finite number");
  return alpha;
}

Result<size_t> read_rank(const gguf::File& file, const std::string& tensor) {
  MARU_TRY(a, file.tensor(tensor + std::string(kHalfA)));
  MARU_TRY_VOID(file.tensor(tensor + std::string(kHalfB)));
  if (a.n_rows() == 0 || a.n_rows() > kAdapterRankMax) {
    return Error::corrupt(fmt::format("tensor '{}' has rank {}; 1 to {} are accepted", a.name,
                                      a.n_rows(), kAdapterRankMax));
  }
  return a.n_rows();
}

// Every tensor of the file is half of a target: else the answers would not be the adapter's.
Result<void> check_all_used(const gguf::File& file, const std::vector<Target>& targets) {
  std::set<std::string, std::less<>> known;
  for (const Target& target : targets) known.insert(target.tensor);
  for (const gguf::TensorView& tensor : file.tensors()) {
    std::string_view name = tensor.name;
    if (name.ends_with(kHalfA) || name.ends_with(kHalfB)) name.remove_suffix(kHalfA.size());
    if (name.size() < tensor.name.size() && known.contains(name)) continue;
    return Error::unsupported(fmt::format(
        "the adapter's tensor '{}' changes what cannot be adapted in this model; accepted: .lora_a "
        "and .lora_b of attn_q, attn_k, attn_v (or attn_qkv), attn_output, ffn_gate, ffn_up, "
        "ffn_down and output, where the model has them as plain matrices",
        tensor.name));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Adapter>> Adapter::load(const gguf::File& file, const DecoderSpec& spec,
                                               const DecoderWeights& weights,
                                               const LoadOptions& options) {
  MARU_TRY(alpha, read_alpha(file, spec));
  const Targets targets(spec, weights);
  MARU_TRY_VOID(check_all_used(file, targets.list()));
  auto adapter = std::unique_ptr<Adapter>(new Adapter());
  Packer packer(file);
  for (const Target& target : targets.list()) {
    const std::string a = target.tensor + std::string(kHalfA);
    const std::string b = target.tensor + std::string(kHalfB);
    if (file.find_tensor(a) == nullptr && file.find_tensor(b) == nullptr) continue;
    MARU_TRY(rank, read_rank(file, target.tensor));
    LowRank& part = adapter->parts_[target.matrix];  // of a node-based map: stays where it is
    MARU_TRY_VOID(packer.add(a, {0, rank, rank}, target.matrix->packed.n_cols, part.a, true));
    MARU_TRY_VOID(packer.add(b, target.rows, rank, part.b, true));
    if (alpha != 0) part.scale = alpha / static_cast<float>(rank);
    adapter->rank_max_ = std::max(adapter->rank_max_, rank);
    adapter->tile_rows_max_ = std::max(adapter->tile_rows_max_, tile_groups(*target.matrix) * 16);
  }
  if (adapter->parts_.empty()) return Error::corrupt("the adapter has no tensors");
  LoadOptions quiet = options;
  quiet.on_progress = {};
  MARU_TRY(arena, packer.pack(quiet));
  adapter->arena_ = std::move(arena);
  return adapter;
}

const LowRank* Adapter::find(const Matrix* matrix) const {
  const auto found = parts_.find(matrix);
  return found == parts_.end() ? nullptr : &found->second;
}

}  // namespace maru::model
