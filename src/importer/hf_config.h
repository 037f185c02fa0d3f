// importer/hf_config.h - the numbers of a model's config.json, by name, whatever year wrote it.
//
// Families read it as a plain list of getters: the first error stays, getters after it give the
// fallback, and finish() tells. What other programs spell in two ways is one getter here: the text
// model inside a multimodal one, rope_scaling beside rope_theta or both in rope_parameters.
// Threads: none; one owner.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace maru::importer {

inline constexpr size_t kConfigCountMax = size_t{1} << 31;
inline constexpr size_t kConfigListMax = 65'536;

// A key, or several that mean the same; the first that is there counts.
using Keys = std::initializer_list<std::string_view>;

class HfConfig {
 public:
  // Errors: kCorrupt where it is no object.
  static Result<HfConfig> create(Json config);

  bool has(std::string_view key) const { return find({key}) != nullptr; }  // and is not null

  // Errors (kept): missing, of the wrong kind, out of range.
  uint64_t count(Keys keys);
  uint64_t count_or(Keys keys, uint64_t fallback);
  double number(Keys keys);
  double number_or(Keys keys, double fallback);
  bool flag_or(std::string_view key, bool fallback);
  std::string text_or(Keys keys, std::string_view fallback);
  // Empty where it is missing.
  std::vector<std::string> texts(std::string_view key);
  std::vector<double> numbers(std::string_view key);

  // A token id: the number, or the first of several. nullopt where there is none.
  std::optional<int64_t> token_id(std::string_view key) const;

  // What turns positions. `layer_type` picks the rope of such layers where there are two.
  HfConfig rope(std::string_view layer_type = "full_attention") const;

  // What a model's own program takes where its config.json is silent.
  void set_default(std::string_view key, Json value);

  // Keeps the first error of all.
  void fail(Error error);
  Result<void> finish() const;

 private:
  explicit HfConfig(Json config, std::string where)
      : config_(std::move(config)), where_(std::move(where)) {}

  const Json* find(Keys keys) const;
  const Json* need(Keys keys);
  void fail_kind(Keys keys, std::string_view expected);

  Json config_;
  std::string where_;
  std::optional<Error> error_;
};

}  // namespace maru::importer
