// serve/openai/receipt.cc - see receipt.h.
#include "serve/openai/receipt.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/sha256.h"
#include "link/fields.h"
#include "serve/openai/requests.h"

namespace maru::serve::openai {
namespace {

constexpr std::pair<Endpoint, std::string_view> kEndpoints[] = {
    {kChatEndpoint, "/v1/chat/completions"}, {kCompletionEndpoint, "/v1/completions"}};
constexpr size_t kPartsMax = 1024;
constexpr size_t kShownBytes = 48;

// Bytes of the form 10xxxxxx go on with a character.
bool is_inside_character(char c) { return (static_cast<uint8_t>(c) & 0xC0) == 0x80; }

// One spelling for each value: keys in order, whole numbers without a point. Receipts go through
// programs that change both.
nlohmann::json canonical(const Json& value) {
  if (value.is_object()) {
    nlohmann::json object = nlohmann::json::object();
    for (const auto& [key, member] : value.items()) object[key] = canonical(member);
    return object;
  }
  if (value.is_array()) {
    nlohmann::json array = nlohmann::json::array();
    for (const Json& item : value) array.push_back(canonical(item));
    return array;
  }
  if (value.is_string()) return value.get_ref<const std::string&>();
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_unsigned()) return value.get<uint64_t>();
  if (value.is_number_integer()) return value.get<int64_t>();
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (std::trunc(number) == number && std::abs(number) < 0x1p53) {
      return number < 0 ? nlohmann::json(static_cast<int64_t>(number))
                        : nlohmann::json(static_cast<uint64_t>(number));
    }
    return number;
  }
  return nullptr;
}

std::string canonical_text(const Json& value) {
  return canonical(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<AnswerSource> read_source(const Json& build, const Json& model) {
  AnswerSource source;
  link::Fields build_fields(build, "build");
  source.version = build_fields.text("version");
  source.commit = build_fields.text("commit");
  MARU_TRY_VOID(build_fields.finish());
  link::Fields fields(model, "model");
  source.model = fields.text("name");
  source.n_ctx = fields.count("context");
  for (const Json& part : fields.array("sha256", kPartsMax)) {
    if (!part.is_string()) {
      fields.fail("sha256", "an array of strings");
      break;
    }
    source.model_sha256.push_back(part.get<std::string>());
  }
  const Json& hash = fields.any("template_sha256");
  if (hash.is_string()) {
    source.template_sha256 = hash.get<std::string>();
  } else if (!hash.is_null()) {
    fields.fail("template_sha256", "a string or null");
  }
  MARU_TRY_VOID(fields.finish());
  return source;
}

// What a text has from a byte on, cut between characters.
std::string_view cut_text(std::string_view text, size_t begin) {
  size_t end = std::min(text.size(), begin + kShownBytes);
  while (end < text.size() && is_inside_character(text[end])) --end;
  return text.substr(begin, end - begin);
}

std::string excerpt(std::string_view text, size_t begin) {
  const std::string_view part = cut_text(text, begin);
  return dump_json(std::string(part)) + (begin + part.size() < text.size() ? "..." : "");
}

std::string shown(const Json* value) {
  if (value == nullptr) return "nothing";
  if (value->is_string()) return excerpt(value->get_ref<const std::string&>(), 0);
  const std::string text = dump_json(*value);
  const std::string_view part = cut_text(text, 0);
  return std::string(part) + (part.size() < text.size() ? "..." : "");
}

std::optional<Difference> difference_of_texts(std::string_view receipt, std::string_view replay,
                                              const std::string& where) {
  const auto [in_receipt, in_replay] = std::ranges::mismatch(receipt, replay);
  size_t at = static_cast<size_t>(in_receipt - receipt.begin());
  if (at == receipt.size() && at == replay.size()) return std::nullopt;
  while (at > 0 && at < receipt.size() && is_inside_character(receipt[at])) --at;
  return Difference{fmt::format("{}, from byte {} on", where, at), excerpt(receipt, at),
                    excerpt(replay, at)};
}

}  // namespace

std::string system_fingerprint(const AnswerSource& source) {
  const std::string of = fmt::format("{}\n{}\n{}\n{}\n{}\n", source.version, source.commit,
                                     fmt::join(source.model_sha256, " "), source.template_sha256,
                                     source.adapter_sha256);
  return "fp_" + sha256_hex(of).substr(0, 16);
}

std::string receipt_sha256(const Json& receipt) {
  Json content = receipt;
  content.erase("sha256");
  return sha256_hex(canonical_text(content));
}

Json receipt_json(const Receipt& receipt) {
  const AnswerSource& source = receipt.source;
  const auto endpoint = std::ranges::find(kEndpoints, receipt.endpoint,
                                          &std::pair<Endpoint, std::string_view>::first);
  Json json = {
      {"maru_receipt", kReceiptVersion},
      {"id", receipt.id},
      {"created", receipt.created},
      {"build", {{"version", source.version}, {"commit", source.commit}}},
      {"model",
       {{"name", source.model},
        {"sha256", source.model_sha256},
        {"template_sha256", source.template_sha256.empty() ? Json() : Json(source.template_sha256)},
        {"context", source.n_ctx}}},
      {"adapter", source.adapter.empty()
                      ? Json()
                      : Json{{"name", source.adapter}, {"sha256", source.adapter_sha256}}},
      {"endpoint", endpoint->second},
      {"request", receipt.request},
      {"choices", receipt.choices}};
  json["sha256"] = receipt_sha256(json);
  return json;
}

Result<Receipt> parse_receipt(std::string_view text) {
  MARU_TRY(json, parse_json(text, kReceiptDepthMax + 1));
  if (json.is_object() && !json.contains("maru_receipt") && json.contains("receipt")) {
    Json inner = std::move(json["receipt"]);
    json = std::move(inner);
  }
  if (!json.is_object() || !json.contains("maru_receipt")) {
    return Error::invalid(
        "this is no receipt: a JSON object with \"maru_receipt\", or an answer that was asked for "
        "with \"receipt\": true");
  }
  if (json["maru_receipt"] != kReceiptVersion) {
    return Error::unsupported(
        fmt::format("a receipt of version {}; this build of Maru reads version {}",
                    dump_json(json["maru_receipt"]), kReceiptVersion));
  }
  link::Fields fields(json, "");
  fields.any("maru_receipt");
  const std::string said = fields.text("sha256");
  Receipt receipt;
  receipt.id = fields.text("id");
  receipt.created = fields.optional_integer("created").value_or(0);
  const std::string endpoint = fields.text("endpoint");
  const auto known =
      std::ranges::find(kEndpoints, endpoint, &std::pair<Endpoint, std::string_view>::second);
  if (known == std::end(kEndpoints)) {
    fields.fail("endpoint", "/v1/chat/completions or /v1/completions");
  } else {
    receipt.endpoint = known->first;
  }
  const Json& adapter = fields.any("adapter");
  const Json& build = fields.object("build");
  const Json& model = fields.object("model");
  receipt.request = fields.object("request");
  receipt.choices = fields.array("choices", kChoicesMax);
  MARU_TRY_VOID(fields.finish());
  if (const std::string is = receipt_sha256(json); is != said) {
    return Error::corrupt(fmt::format(
        "the receipt was changed after it was made: its content has the SHA-256 {}, and "
        "it says {}",
        is, said));
  }
  MARU_TRY(source, read_source(build, model));
  if (!adapter.is_null()) {
    link::Fields adapter_fields(adapter, "adapter");
    source.adapter = adapter_fields.text("name");
    source.adapter_sha256 = adapter_fields.text("sha256");
    MARU_TRY_VOID(adapter_fields.finish());
  }
  receipt.source = std::move(source);
  return receipt;
}

std::optional<Difference> first_difference(const Json& receipt, const Json& replay,
                                           const std::string& where) {
  if (receipt.is_string() && replay.is_string()) {
    return difference_of_texts(receipt.get_ref<const std::string&>(),
                               replay.get_ref<const std::string&>(), where);
  }
  if (receipt.is_array() && replay.is_array()) {
    for (size_t i = 0; i < std::max(receipt.size(), replay.size()); ++i) {
      const std::string item = fmt::format("{}[{}]", where, i);
      if (i >= receipt.size()) return Difference{item, shown(nullptr), shown(&replay[i])};
      if (i >= replay.size()) return Difference{item, shown(&receipt[i]), shown(nullptr)};
      if (auto found = first_difference(receipt[i], replay[i], item)) return found;
    }
    return std::nullopt;
  }
  if (receipt.is_object() && replay.is_object()) {
    for (const auto& [key, value] : receipt.items()) {
      const auto other = replay.find(key);
      const std::string member = where + "." + key;
      if (other == replay.end()) return Difference{member, shown(&value), shown(nullptr)};
      if (auto found = first_difference(value, *other, member)) return found;
    }
    for (const auto& [key, value] : replay.items()) {
      if (receipt.find(key) != receipt.end()) continue;
      return Difference{where + "." + key, shown(nullptr), shown(&value)};
    }
    return std::nullopt;
  }
  if (canonical(receipt) == canonical(replay)) return std::nullopt;
  return Difference{where, shown(&receipt), shown(&replay)};
}

}  // namespace maru::serve::openai
