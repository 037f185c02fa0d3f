// importer/draft.h - a plan in the making: what the rules and the arrangements of families work on.
//
// import_folder() of import.h makes one, the family's metadata function and rules fill it. The
// first error stays (fail()), so that families are plain lists. Threads: none; one owner.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "importer/hf_config.h"
#include "importer/plan.h"
#include "importer/weights.h"

namespace maru::importer {

struct Family;

inline constexpr size_t kLayersMax = 1024;
inline constexpr size_t kExpertsMax = 4096;
inline constexpr size_t kHeadsMax = 1024;

class Draft {
 public:
  Draft(const Family& family, HfConfig config, Weights& weights, std::optional<tensor::DType> dtype)
      : family(family), config(std::move(config)), weights(weights), dtype_(dtype) {}

  // Metadata below the architecture's name: u32("block_count", 2) sets "llama.block_count".
  void u32(std::string_view key, uint64_t value);
  void f32(std::string_view key, double value);
  void flag(std::string_view key, bool value);
  void text(std::string_view key, std::string_view value);
  void i32s(std::string_view key, std::span<const int32_t> values);
  void flags(std::string_view key, const std::vector<bool>& values);

  // Takes a tensor of the source into the plan, as it is or rearranged; false where there is none.
  // Its element type is chosen here: small ones and those that programs read as F32 are F32.
  using Arrange = void (*)(Draft&, NewTensor&);
  bool add(std::string_view to, std::string_view from, Arrange arrange);
  // The tensors of all experts as one.
  bool add_stacked(std::string_view to, std::span<const std::string> from, Arrange arrange);
  void add_values(std::string_view to, std::vector<float> values);
  bool has(std::string_view name) const { return names_.contains(std::string(name)); }

  void fail(Error error) { config.fail(std::move(error)); }
  void fail(std::string message) { fail(Error::corrupt(std::move(message))); }

  const Family& family;
  HfConfig config;
  Weights& weights;
  Plan plan;
  std::string prefix;  // of the names of the text model's tensors
  size_t n_layer = 0;

 private:
  std::string full(std::string_view key) const;
  void push(NewTensor tensor, Arrange arrange);
  tensor::DType type_of(const NewTensor& tensor, tensor::DType kept) const;

  std::optional<tensor::DType> dtype_;
  std::unordered_set<std::string> names_;
};

}  // namespace maru::importer
