// importer/family.h - what the importer must know of a model family: the names of its tensors, how
// their rows are arranged in GGUF, and what its config.json means.
//
// One table entry a family (families/); apply_rules() turns it into a plan.
// Threads: constant tables.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "importer/draft.h"

namespace maru::importer {

// When a rule holds: in layers that have all the bits of its low half. In the high half: how.
using Flags = uint32_t;
inline constexpr Flags kEvery = 0;
inline constexpr Flags kAttention = 1 << 0;
inline constexpr Flags kRecurrent = 1 << 1;
inline constexpr Flags kDense = 1 << 2;
inline constexpr Flags kExperts = 1 << 3;
inline constexpr Flags kWhere = 0xFFFF;
inline constexpr Flags kOptional = 1 << 16;
inline constexpr Flags kExact =
    1 << 17;  // both names are whole, without ".weight" or ".bias" added

// `from` NAME.weight becomes `to` NAME.weight, and the same for ".bias" where there is one. "{}" in
// `from` stands for the number of an expert: all become one tensor.
// Two rules with the same `to` are alternatives.
struct Rule {
  std::string_view to;    // GGUF's name, in layers below "blk.N."
  std::string_view from;  // the source's name below the prefix; from its root with a "/" before it
  Draft::Arrange arrange = nullptr;
  Flags flags = kEvery;
};

using Rules = std::span<const Rule>;

struct Family {
  std::array<std::string_view, 4> model_types;  // as config.json spells it
  std::string_view architecture;                // as GGUF spells it
  void (*metadata)(Draft&) = nullptr;
  Rules ends;  // outside layers
  std::string_view layers = "layers";
  std::array<Rules, 6> layer;
  // What layer i has: kAttention or kRecurrent, kDense or kExperts. nullptr: attention, dense.
  Flags (*kind)(Draft&, size_t layer) = nullptr;
  bool permute_rope = false;    // neighbours turn in GGUF, halves in the source
  bool norms_plus_one = false;  // the source multiplies by 1 + weight
  bool is_encoder = false;      // makes embeddings; its ".weight"s of norms may be ".gamma"
};

std::span<const Family* const> families();
// nullptr for one that nobody knows.
const Family* find_family(std::string_view model_type);

// As config.json says it; 0 for none.
uint64_t n_experts(Draft& draft);

// Plans all tensors that the family's rules name.
// Errors (in the draft): the tensors that are missing, and those that no rule asks for.
void apply_rules(Draft& draft);

}  // namespace maru::importer
