// text/chat_shape.cc - see chat_shape.h.
#include "text/chat_shape.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>

namespace maru::text {
namespace {

constexpr std::string_view kName = "probe_function";
constexpr std::string_view kArguments = R"({"probe_key": "probe value"})";
constexpr std::string_view kDescription = "probe description";
constexpr std::string_view kResult = "probe result";
constexpr std::string_view kShortId = "probe0001";

Json probe_tools() {
  return Json::array(
      {{{"type", "function"},
        {"function",
         {{"name", kName},
          {"description", kDescription},
          {"parameters",
           {{"type", "object"},
            {"properties", {{"probe_key", {{"type", "string"}, {"description", "a key"}}}}},
            {"required", Json::array({"probe_key"})}}}}}}});
}

Json message(std::string_view role, std::string_view content) {
  return {{"role", role}, {"content", content}};
}

Json probe_call(bool as_text, std::string_view id) {
  const Json arguments = as_text ? Json(kArguments) : Json::parse(kArguments);
  return {
      {"id", id}, {"type", "function"}, {"function", {{"name", kName}, {"arguments", arguments}}}};
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// What the template would write for one call of this format.
std::string written(const CallFormat& format) {
  // As templates write the turns before, not as the model writes its own.
  if (format.name == "harmony") {
    return fmt::format("to=functions.{}<|channel|>commentary json<|message|>{}", kName, kArguments);
  }
  const std::string id =
      format.id_mark.empty() ? "" : fmt::format("{}{}", format.id_mark, kShortId);
  return fmt::format("{}{}{}{}{}{}{}{}", format.begin, format.before_name, kName, id,
                     format.after_name, kArguments, format.after_arguments, format.end);
}

}  // namespace

// Renders a question, and what came after it.
struct ChatShape::Prober {
  const ChatTemplate& chat_template;
  const Json& tokens;

  std::optional<std::string> render(Json messages, Json tools) const {
    const auto spans = chat_template.render({.messages = std::move(messages),
                                             .tools = std::move(tools),
                                             .add_generation_prompt = false,
                                             .tokens = tokens});
    if (!spans.ok()) return std::nullopt;
    std::string text;
    for (const Span& span : *spans) text += span.text;
    return text;
  }

  std::optional<std::string> with_calls(Json calls, Json content) const {
    Json messages = Json::array({message("user", "probe question")});
    Json answer = {{"role", "assistant"}, {"content", std::move(content)}};
    Json results = Json::array();
    for (const Json& call : calls) {
      results.push_back(
          {{"role", "tool"}, {"tool_call_id", call["id"]}, {"name", kName}, {"content", kResult}});
    }
    answer["tool_calls"] = std::move(calls);
    messages.push_back(std::move(answer));
    for (Json& result : results) messages.push_back(std::move(result));
    return render(std::move(messages), probe_tools());
  }
};

ChatShape ChatShape::find(const ChatTemplate& chat_template, std::string_view source,
                          const Json& tokens,
                          const std::function<bool(std::string_view)>& has_token) {
  ChatShape shape;
  for (const ReasoningFormat& format : reasoning_formats()) {
    if (shape.format_.reasoning != nullptr) break;
    const std::string_view sign = format.always_held ? format.open : format.close;
    const bool written_by_template = format.always_held ? contains(source, "<|channel|>analysis") &&
                                                              contains(source, "<|channel|>final")
                                                        : contains(source, sign);
    if (written_by_template || has_token(sign)) shape.format_.reasoning = &format;
  }
  const Prober prober{chat_template, tokens};
  const auto system = prober.render(
      Json::array({message("system", "probe system"), message("user", "probe question")}), nullptr);
  shape.has_system_ = system && contains(*system, "probe system");

  const auto declared =
      prober.render(Json::array({message("user", "probe question")}), probe_tools());
  const bool declares = declared && contains(*declared, kName) && contains(*declared, kDescription);
  for (const bool as_text : {false, true}) {
    for (const std::string_view id : {std::string_view("call_probe"), kShortId}) {
      for (const Json& content : {Json(nullptr), Json("")}) {
        if (!declares || shape.has_tools_) break;
        const auto text = prober.with_calls(Json::array({probe_call(as_text, id)}), content);
        if (!text || !contains(*text, kResult)) continue;
        if (contains(*text, "None") && !contains(*declared, "None")) continue;
        for (const CallFormat& format : call_formats()) {
          if (!contains(*text, written(format))) continue;
          shape.format_.calls = &format;
          shape.has_tools_ = true;
          shape.arguments_as_text_ = as_text;
          shape.short_ids_ = id == kShortId;
          shape.null_content_ = content.is_null();
          break;
        }
      }
    }
  }
  if (!shape.has_tools_) {
    shape.format_.calls = &generic_call_format();
    return shape;
  }
  Json two = Json::array({probe_call(shape.arguments_as_text_, kShortId),
                          probe_call(shape.arguments_as_text_, "probe0002")});
  shape.parallel_ = shape.format_.calls->parallel && prober.with_calls(std::move(two), "");
  return shape;
}

namespace {

bool is_call(const Json& call) {
  if (!call.is_object() || !call.contains("function")) return false;
  const Json& function = call["function"];
  return function.is_object() && function.contains("name") && function["name"].is_string();
}

// Anything else is the template's to refuse.
bool is_well_formed(const Json& messages) {
  if (!messages.is_array()) return false;
  for (const Json& message : messages) {
    if (!message.is_object() || !message.contains("role")) return false;
    if (!message.contains("tool_calls")) continue;
    const Json& calls = message["tool_calls"];
    if (!calls.is_array() || !std::ranges::all_of(calls, is_call)) return false;
  }
  return true;
}

// Which function each call names, by id.
std::map<std::string, std::string> names_by_id(const Json& messages) {
  std::map<std::string, std::string> names;
  for (const Json& message : messages) {
    if (!message.contains("tool_calls")) continue;
    for (const Json& call : message["tool_calls"]) {
      const Json id = call.value("id", Json());
      if (id.is_string()) names[id.get<std::string>()] = call["function"]["name"];
    }
  }
  return names;
}

// "call00001" and so on, in the order of their coming, so that a conversation that grows keeps the
// beginning of its prompt.
void shorten_ids(Json& messages) {
  std::map<std::string, std::string> short_ids;
  const auto shorten = [&](Json& id) {
    if (!id.is_string()) return;
    const auto [found, is_new] = short_ids.try_emplace(id.get<std::string>());
    if (is_new) found->second = fmt::format("call{:05}", short_ids.size() % 100'000);
    id = found->second;
  };
  for (Json& message : messages) {
    if (message.contains("tool_calls")) {
      for (Json& call : message["tool_calls"]) {
        if (!call.contains("id")) call["id"] = "";
        shorten(call["id"]);
      }
    }
    if (message["role"] == "tool") {
      if (!message.contains("tool_call_id")) message["tool_call_id"] = "";
      shorten(message["tool_call_id"]);
    }
  }
}

std::string text_of(const Json& content) {
  return content.is_string() ? content.get<std::string>() : std::string();
}

std::string describe(const Json& tools) {
  std::string text =
      "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
      "You are provided with function signatures within <tools></tools> XML tags:\n<tools>";
  for (const Json& tool : tools) text += "\n" + dump_json(tool);
  text +=
      "\n</tools>\n\nFor each function call, return a json object with function name and arguments "
      "within <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, "
      "\"arguments\": <args-json-object>}\n</tool_call>";
  return text;
}

std::string describe_calls(const Json& message) {
  const CallFormat& format = generic_call_format();
  std::string text = text_of(message.value("content", Json()));
  for (const Json& call : message["tool_calls"]) {
    const Json& function = call["function"];
    const Json arguments = function.value("arguments", Json::object());
    if (!text.empty()) text += "\n";
    text += format.before_name;
    text += function["name"].get_ref<const std::string&>();
    text += format.after_name;
    text += arguments.is_string() ? arguments.get<std::string>() : dump_json(arguments);
    text += format.after_arguments;
  }
  return text;
}

}  // namespace

void ChatShape::prepare_native(Json& messages) const {
  const auto names = names_by_id(messages);
  for (Json& message : messages) {
    if (message.contains("tool_calls")) {
      for (Json& call : message["tool_calls"]) {
        Json& function = call["function"];
        if (!function.contains("arguments")) function["arguments"] = Json::object();
        Json& arguments = function["arguments"];
        if (arguments_as_text_ && !arguments.is_string()) arguments = dump_json(arguments);
      }
      if (!null_content_ && message["content"].is_null()) message["content"] = "";
      if (format_.reasoning != nullptr && format_.reasoning->always_held &&
          message.contains("reasoning_content")) {
        message["thinking"] = message["reasoning_content"];
      }
    }
    if (message["role"] == "tool" && !message.contains("name")) {
      const auto name = names.find(text_of(message.value("tool_call_id", Json())));
      if (name != names.end()) message["name"] = name->second;
    }
  }
  if (short_ids_) shorten_ids(messages);
}

void ChatShape::prepare_generic(Json& messages, Json& tools) const {
  Json out = Json::array();
  const auto add_user = [&out](const std::string& text) {
    if (!out.empty() && out.back()["role"] == "user") {
      out.back()["content"] = text_of(out.back()["content"]) + "\n" + text;
    } else {
      out.push_back(message("user", text));
    }
  };
  bool after_result = false;
  for (Json& each : messages) {
    if (each["role"] == "tool") {
      add_user("<tool_response>\n" + text_of(each["content"]) + "\n</tool_response>");
      after_result = true;
      continue;
    }
    if (each.contains("tool_calls")) {
      out.push_back(message("assistant", describe_calls(each)));
    } else if (after_result && each["role"] == "user") {
      add_user(text_of(each["content"]));
    } else {
      out.push_back(std::move(each));
    }
    after_result = false;
  }
  messages = std::move(out);
  if (tools.is_array() && !tools.empty()) {
    const std::string text = describe(tools);
    const std::string_view role = has_system_ ? "system" : "user";
    if (!messages.empty() && messages[0]["role"] == role) {
      Json& content = messages[0]["content"];
      content = has_system_ ? text_of(content) + "\n\n" + text : text + "\n\n" + text_of(content);
    } else {
      messages.insert(messages.begin(), message(role, text));
    }
  }
  tools = nullptr;
}

void ChatShape::prepare(Json& messages, Json& tools) const {
  if (!is_well_formed(messages)) return;
  if (has_tools_) return prepare_native(messages);
  bool is_plain = tools.is_null() || tools.empty();
  for (const Json& message : messages) {
    is_plain = is_plain && message["role"] != "tool" && !message.contains("tool_calls");
  }
  if (!is_plain) prepare_generic(messages, tools);
}

ReasoningState ChatShape::reasoning_state(const Spans& prompt, bool is_continued) const {
  if (format_.reasoning == nullptr) return ReasoningState::kNone;
  size_t begin = is_continued ? 0 : prompt.size();
  while (begin > 0 && prompt[begin - 1].origin == Origin::kLiteral) --begin;
  std::string tail;
  for (size_t i = begin; i < prompt.size(); ++i) tail += prompt[i].text;
  const size_t open = tail.rfind(format_.reasoning->open);
  const size_t close = tail.rfind(format_.reasoning->close);
  if (open == std::string::npos) return ReasoningState::kNone;
  if (close == std::string::npos || close < open) return ReasoningState::kOpen;
  return ReasoningState::kClosed;
}

}  // namespace maru::text
