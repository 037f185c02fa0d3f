// importer/rules.cc - from a family's rules to planned tensors.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "importer/family.h"

namespace maru::importer {
namespace {

constexpr size_t kNamesShown = 5;

// Names of the text model's tensors begin with one of these.
constexpr std::array<std::string_view, 9> kPrefixes = {
    "model.", "",         "model.language_model.", "language_model.model.", "backbone.",
    "bert.",  "roberta.", "language_model.",       "model.backbone."};

// Tensors that hold nothing which a GGUF file has: constants that every program computes, heads for
// training, and what sees or hears.
constexpr std::array<std::string_view, 6> kComputed = {
    ".rotary_emb.inv_freq",    ".attention.bias",        ".attention.masked_bias",
    "embeddings.position_ids", ".rotary_emb.cos_cached", ".rotary_emb.sin_cached"};
constexpr std::array<std::string_view, 5> kTraining = {
    "pooler.dense.", "cls.predictions.", "cls.seq_relationship.", "lm_head.", "classifier."};
constexpr std::array<std::string_view, 6> kSenses = {"vision_tower.", "vision_model.",
                                                     "visual.",       "multi_modal_projector.",
                                                     "audio_tower.",  "embed_vision."};

bool holds_any(std::string_view name, std::span<const std::string_view> parts) {
  return std::ranges::any_of(
      parts, [&](std::string_view part) { return name.find(part) != std::string_view::npos; });
}

class Applier {
 public:
  explicit Applier(Draft& draft) : draft_(draft), family_(draft.family) {}

  void run() {
    if (!find_prefix()) return;
    for (const Rule& rule : family_.ends) apply(rule, draft_.prefix, "");
    for (size_t i = 0; i < draft_.n_layer; ++i) {
      const Flags kind = family_.kind == nullptr ? kAttention | kDense : family_.kind(draft_, i);
      const std::string from = fmt::format("{}{}.{}.", draft_.prefix, family_.layers, i);
      const std::string to = fmt::format("blk.{}.", i);
      for (const Rules rules : family_.layer) {
        for (const Rule& rule : rules) {
          const Flags where = rule.flags & kWhere;
          if ((where & kind) == where) apply(rule, from, to);
        }
      }
    }
    report_missing();
    report_unused();
  }

 private:
  bool find_prefix() {
    const Rule& embeddings = family_.ends.front();
    for (const std::string_view prefix : kPrefixes) {
      draft_.prefix = prefix;
      if (draft_.weights.has(fmt::format("{}{}.weight", prefix, embeddings.from))) return true;
    }
    draft_.fail(
        fmt::format("the model has no tensor '{}{}.weight'", kPrefixes.front(), embeddings.from));
    return false;
  }

  void apply(const Rule& rule, const std::string& from_prefix, const std::string& to_prefix) {
    if (rule.to == "output" && is_tied()) return;
    const std::string to = to_prefix + std::string(rule.to);
    const bool from_root = rule.from.starts_with('/');
    const std::string from =
        from_root ? std::string(rule.from.substr(1)) : from_prefix + std::string(rule.from);
    if ((rule.flags & kExact) != 0) {
      add(to, from, rule);
      if ((rule.flags & kOptional) == 0) expect(to, from);
      return;
    }
    add(to + ".weight", from + ".weight", rule) ||
        (family_.is_encoder && add(to + ".weight", from + ".gamma", rule));
    add(to + ".bias", from + ".bias", rule) ||
        (family_.is_encoder && add(to + ".bias", from + ".beta", rule));
    if ((rule.flags & kOptional) == 0) expect(to + ".weight", from + ".weight");
  }

  bool add(const std::string& to, const std::string& from, const Rule& rule) {
    const size_t brace = from.find("{}");
    if (brace == std::string::npos) return draft_.add(to, from, rule.arrange);
    const auto name = [&](size_t i) {
      return fmt::format("{}{}{}", from.substr(0, brace), i, from.substr(brace + 2));
    };
    if (!draft_.weights.has(name(0))) return false;
    // As many experts as the configuration says, as many heads as there are.
    uint64_t n = n_experts(draft_);
    if ((rule.flags & kExperts) == 0) {
      for (n = 1; n < kHeadsMax && draft_.weights.has(name(n));) ++n;
    }
    std::vector<std::string> names;
    for (size_t i = 0; i < n; ++i) names.push_back(name(i));
    return draft_.add_stacked(to, names, rule.arrange);
  }

  void expect(std::string to, std::string from) {
    expected_.emplace_back(std::move(to), std::move(from));
  }

  void report_missing() {
    std::vector<std::string> missing;
    for (const auto& [to, from] : expected_) {
      if (!draft_.has(to)) missing.push_back(fmt::format("'{}' (for '{}')", from, to));
    }
    if (missing.empty()) return;
    const size_t n = missing.size();
    missing.resize(std::min(n, kNamesShown));
    draft_.fail(fmt::format("the model lacks {} tensors: {}{}", n, fmt::join(missing, ", "),
                            n > kNamesShown ? " and more" : ""));
  }

  bool is_tied() const { return draft_.config.flag_or("tie_word_embeddings", false); }

  // Why a tensor may be left out; empty where it may not.
  std::string_view reason(std::string_view name) const {
    if (holds_any(name, kComputed)) return "";
    const bool has_head =
        std::ranges::find(family_.ends, "output", &Rule::to) != family_.ends.end();
    if (name.find("lm_head.") != std::string_view::npos && (!has_head || is_tied())) {
      return "the head, which is tied to the embeddings";
    }
    if (family_.is_encoder && holds_any(name, kTraining)) return "heads for training";
    if (holds_any(name, kSenses)) return "what sees or hears";
    if (name.starts_with("mtp.") || name.starts_with("model.mtp") || is_beyond_layers(name)) {
      return "layers that guess further tokens";
    }
    return "unknown";
  }

  // Of a layer behind the last one.
  bool is_beyond_layers(std::string_view name) const {
    const std::string head = fmt::format("{}{}.", draft_.prefix, family_.layers);
    if (!name.starts_with(head)) return false;
    size_t layer = 0;
    size_t at = head.size();
    for (; at < name.size() && name[at] >= '0' && name[at] <= '9' && layer <= kLayersMax; ++at) {
      layer = layer * 10 + static_cast<size_t>(name[at] - '0');
    }
    return at > head.size() && layer >= draft_.n_layer;
  }

  void report_unused() {
    std::vector<std::string> unknown;
    std::vector<std::pair<std::string_view, size_t>> left_out;
    for (const SourceTensor* tensor : draft_.weights.unused()) {
      const std::string_view why = reason(tensor->name);
      if (why.empty()) continue;
      if (why == "unknown") {
        unknown.push_back("'" + tensor->name + "'");
        continue;
      }
      const auto known = std::ranges::find(left_out, why, [](const auto& x) { return x.first; });
      if (known == left_out.end()) {
        left_out.emplace_back(why, 1);
      } else {
        ++known->second;
      }
    }
    for (const auto& [why, n] : left_out) {
      draft_.plan.notes.push_back(fmt::format("{} tensors left out: {}", n, why));
    }
    if (unknown.empty()) return;
    const size_t n = unknown.size();
    unknown.resize(std::min(n, kNamesShown));
    draft_.fail(Error::unsupported(
        fmt::format("the model has {} tensors that a model of type '{}' does not know: {}{}", n,
                    family_.model_types.front(), fmt::join(unknown, ", "),
                    n > kNamesShown ? " and more" : "")));
  }

  Draft& draft_;
  const Family& family_;
  std::vector<std::pair<std::string, std::string>> expected_;
};

}  // namespace

uint64_t n_experts(Draft& draft) {
  const uint64_t n = draft.config.count_or(
      {"num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"}, 0);
  if (n <= kExpertsMax) return n;
  draft.fail(fmt::format("config.json names {} experts, more than {}", n, kExpertsMax));
  return 0;
}

void apply_rules(Draft& draft) { Applier(draft).run(); }

}  // namespace maru::importer
