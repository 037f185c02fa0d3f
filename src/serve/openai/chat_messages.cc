// serve/openai/chat_messages.cc - see chat_messages.h.
#include "serve/openai/chat_messages.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "serve/openai/requests.h"

namespace maru::serve::openai {
namespace {

constexpr std::array<std::string_view, 5> kRoles{"system", "developer", "user", "assistant",
                                                 "tool"};
// Passed on as they are, where they are strings.
constexpr std::array<std::string_view, 4> kTextKeys{"name", "tool_call_id", "reasoning_content",
                                                    "reasoning"};

Result<std::string> read_content_parts(const Json& parts, const std::string& where) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    const Json& part = parts[i];
    const std::string part_where = fmt::format("{}[{}]", where, i);
    if (!part.is_object() || !part.contains("type") || !part["type"].is_string()) {
      return Error::invalid(part_where + R"( must be an object like {"type":"text","text":"..."})",
                            part_where);
    }
    const auto type = part["type"].get<std::string>();
    if (type != "text") {
      Error error = Error::unsupported(
          fmt::format("{}: parts of type \"{}\" are not supported; this model reads text only",
                      part_where, type));
      error.param = part_where;
      return error;
    }
    if (!part.contains("text") || !part["text"].is_string()) {
      return Error::invalid(part_where + ".text must be a string", part_where + ".text");
    }
    if (i > 0) text += '\n';
    text += part["text"].get<std::string>();
  }
  return text;
}

// Arguments deeper than that stay text: they are a part of what goes to the engine.
constexpr size_t kArgumentsDepthMax = 48;

// Text that is no JSON object stays text: it is what the model once wrote.
Result<Json> read_arguments(const Json& arguments, const std::string& where) {
  if (arguments.is_null() || arguments == "") return Json::object();
  if (arguments.is_object()) return arguments;
  if (!arguments.is_string()) {
    return Error::invalid(where + " must be the text of a JSON object", where);
  }
  auto parsed = parse_json(arguments.get_ref<const std::string&>(), kArgumentsDepthMax);
  return parsed.ok() && parsed->is_object() ? *std::move(parsed) : arguments;
}

// Each call: {"id", "type": "function", "function": {"name", "arguments": JSON text or object}}.
Result<Json> read_tool_calls(const Json& calls, const std::string& where) {
  if (!calls.is_array() || calls.size() > kHistoryCallsMax) {
    return Error::invalid(
        fmt::format("{} must be an array of at most {} calls", where, kHistoryCallsMax), where);
  }
  Json out = Json::array();
  for (size_t i = 0; i < calls.size(); ++i) {
    const std::string at = fmt::format("{}[{}]", where, i);
    const Json& call = calls[i];
    const Json function = call.is_object() ? call.value("function", Json()) : Json();
    const Json name = function.is_object() ? function.value("name", Json()) : Json();
    if (!name.is_string() || call.value("type", Json("function")) != "function") {
      return Error::invalid(
          at + R"( must be like {"id": "...", "type": "function", "function": {"name": "...", )"
               R"("arguments": "{...}"}})",
          at);
    }
    MARU_TRY(arguments,
             read_arguments(function.value("arguments", Json()), at + ".function.arguments"));
    Json checked = Json::object();
    if (call.contains("id") && !call["id"].is_null()) {
      if (!call["id"].is_string()) return Error::invalid(at + ".id must be a string", at + ".id");
      checked["id"] = call["id"];
    }
    checked["type"] = "function";
    checked["function"] = {{"name", name}, {"arguments", std::move(arguments)}};
    out.push_back(std::move(checked));
  }
  return out;
}

Result<Json> read_message(const Json& message, const std::string& where, Fields& fields) {
  if (!message.is_object()) return Error::invalid(where + " must be an object", where);
  const auto role = message.find("role");
  if (role == message.end() || !role->is_string() ||
      std::ranges::find(kRoles, role->get<std::string>()) == kRoles.end()) {
    return Error::invalid(
        where + ".role must be \"system\", \"developer\", \"user\", \"assistant\" or \"tool\"",
        where + ".role");
  }
  Json out = Json::object();
  out["role"] = *role == "developer" ? Json("system") : *role;
  bool has_content = false;
  bool has_calls = false;
  const bool is_assistant = *role == "assistant";
  for (const auto& [key, value] : message.items()) {
    const std::string key_where = where + "." + key;
    if (key == "role" || value.is_null()) continue;
    if (key == "content") {
      has_content = true;
      MARU_TRY(text, read_content(value, key_where));
      out["content"] = std::move(text);
    } else if (key == "tool_calls" && is_assistant) {
      MARU_TRY(calls, read_tool_calls(value, key_where));
      has_calls = !calls.empty();
      if (has_calls) out["tool_calls"] = std::move(calls);
    } else if (std::ranges::find(kTextKeys, key) != kTextKeys.end()) {
      if (!value.is_string()) return Error::invalid(key_where + " must be a string", key_where);
      out[key == "reasoning" ? "reasoning_content" : key] = value;
    } else if (key == "function_call") {
      return Error::invalid(key_where + ": use tool_calls, which took its place", key_where);
    } else {
      fields.ignore("messages[]." + key);
    }
  }
  // What a tool gave may be nothing.
  if (!has_content && *role == "tool") {
    out["content"] = "";
    return out;
  }
  if (!has_content && !has_calls) {
    return Error::invalid(where + ".content is required (null only beside tool_calls)",
                          where + ".content");
  }
  if (!has_content) out["content"] = nullptr;
  return out;
}

}  // namespace

Result<std::string> read_content(const Json& content, const std::string& where) {
  if (content.is_string()) return content.get<std::string>();
  if (content.is_array()) return read_content_parts(content, where);
  return Error::invalid(where + " must be a string or an array of text parts", where);
}

Result<Json> read_messages(const Json* messages, Fields& fields) {
  if (messages == nullptr || messages->empty() || messages->size() > kMessagesMax) {
    return Error::invalid(fmt::format("messages must be an array of 1 to {} messages, not {}",
                                      kMessagesMax, messages == nullptr ? 0 : messages->size()),
                          "messages");
  }
  Json out = Json::array();
  for (size_t i = 0; i < messages->size(); ++i) {
    MARU_TRY(message, read_message((*messages)[i], fmt::format("messages[{}]", i), fields));
    out.push_back(std::move(message));
  }
  return out;
}

}  // namespace maru::serve::openai
