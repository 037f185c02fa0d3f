#include "importer/hf_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <cmath>

namespace maru::importer {

Result<HfConfig> HfConfig::create(Json config) {
  if (!config.is_object()) return Error::corrupt("config.json is no JSON object");
  // The text model of one that also sees or hears. Its keys win.
  for (const char* key : {"text_config", "llm_config"}) {
    if (!config.contains(key) || !config[key].is_object()) continue;
    const Json inner = config[key];
    for (const auto& [name, value] : inner.items()) config[name] = value;
  }
  return HfConfig(std::move(config), "config.json");
}

const Json* HfConfig::find(Keys keys) const {
  for (const std::string_view key : keys) {
    const auto found = config_.find(key);
    if (found != config_.end() && !found->is_null()) return &*found;
  }
  return nullptr;
}

const Json* HfConfig::need(Keys keys) {
  const Json* value = find(keys);
  if (value == nullptr) {
    fail(Error::corrupt(fmt::format("{} lacks {}", where_, fmt::join(keys, " or "))));
  }
  return value;
}

void HfConfig::set_default(std::string_view key, Json value) {
  if (!has(key)) config_[std::string(key)] = std::move(value);
}

void HfConfig::fail(Error error) {
  if (!error_) error_ = std::move(error);
}

void HfConfig::fail_kind(Keys keys, std::string_view expected) {
  fail(Error::corrupt(fmt::format("{}: {} is {}, expected {}", where_, fmt::join(keys, " or "),
                                  dump_json(*find(keys)).substr(0, 100), expected)));
}

uint64_t HfConfig::count(Keys keys) { return need(keys) == nullptr ? 0 : count_or(keys, 0); }

uint64_t HfConfig::count_or(Keys keys, uint64_t fallback) {
  const Json* value = find(keys);
  if (value == nullptr) return fallback;
  if (!value->is_number_unsigned() || value->get<uint64_t>() > kConfigCountMax) {
    fail_kind(keys, fmt::format("an integer of 0 to {}", kConfigCountMax));
    return fallback;
  }
  return value->get<uint64_t>();
}

double HfConfig::number(Keys keys) { return need(keys) == nullptr ? 0.0 : number_or(keys, 0.0); }

double HfConfig::number_or(Keys keys, double fallback) {
  const Json* value = find(keys);
  if (value == nullptr) return fallback;
  if (!value->is_number() || !std::isfinite(value->get<double>())) {
    fail_kind(keys, "a number");
    return fallback;
  }
  return value->get<double>();
}

bool HfConfig::flag_or(std::string_view key, bool fallback) {
  const Json* value = find({key});
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) {
    fail_kind({key}, "true or false");
    return fallback;
  }
  return value->get<bool>();
}

std::string HfConfig::text_or(Keys keys, std::string_view fallback) {
  const Json* value = find(keys);
  if (value == nullptr) return std::string(fallback);
  if (!value->is_string()) {
    fail_kind(keys, "a text");
    return std::string(fallback);
  }
  return value->get<std::string>();
}

std::vector<std::string> HfConfig::texts(std::string_view key) {
  std::vector<std::string> out;
  const Json* value = find({key});
  if (value == nullptr) return out;
  if (!value->is_array() || value->size() > kConfigListMax) {
    fail_kind({key}, "a list of texts");
    return out;
  }
  for (const Json& item : *value) {
    if (item.is_string()) {
      out.push_back(item.get<std::string>());
    } else {
      fail_kind({key}, "a list of texts");
    }
  }
  return out;
}

std::vector<double> HfConfig::numbers(std::string_view key) {
  std::vector<double> out;
  const Json* value = find({key});
  if (value == nullptr) return out;
  if (!value->is_array() || value->size() > kConfigListMax) {
    fail_kind({key}, "a list of numbers");
    return out;
  }
  for (const Json& item : *value) {
    if (item.is_number()) {
      out.push_back(item.get<double>());
    } else {
      fail_kind({key}, "a list of numbers");
    }
  }
  return out;
}

std::optional<int64_t> HfConfig::token_id(std::string_view key) const {
  const Json* value = find({key});
  if (value != nullptr && value->is_array() && !value->empty()) value = &value->front();
  if (value == nullptr || !value->is_number_integer()) return std::nullopt;
  return value->get<int64_t>();
}

HfConfig HfConfig::rope(std::string_view layer_type) const {
  Json out = Json::object();
  const auto take_all = [&out](const Json& from) {
    for (const auto& [key, value] : from.items()) {
      if (!value.is_object()) out[key == "type" ? "rope_type" : key] = value;
    }
  };
  // Older files keep these beside the scaling, newer ones inside.
  constexpr std::array<std::string_view, 3> kBeside = {"rope_theta", "partial_rotary_factor",
                                                       "original_max_position_embeddings"};
  for (const std::string_view key : kBeside) {
    if (const Json* value = find({key})) out[key] = *value;
  }
  if (layer_type == "sliding_attention") {
    if (const Json* base = find({"rope_local_base_freq"})) out["rope_theta"] = *base;
  }
  for (const std::string_view key : {"rope_scaling", "rope_parameters"}) {
    const Json* value = find({key});
    if (value == nullptr || !value->is_object()) continue;
    // The older form scales only what sees everything.
    if (key == "rope_scaling" && layer_type == "sliding_attention") continue;
    take_all(*value);
    const auto inner = value->find(layer_type);
    if (inner != value->end() && inner->is_object()) take_all(*inner);
  }
  return HfConfig(std::move(out), "config.json's rope parameters");
}

Result<void> HfConfig::finish() const {
  if (error_) return *error_;
  return {};
}

}  // namespace maru::importer
