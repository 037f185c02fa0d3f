#include "text/chat_template.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "text/jinja/eval.h"
#include "text/jinja/globals.h"
#include "text/jinja/parser.h"

namespace maru::text {
namespace {

using jinja::Dict;
using jinja::Kind;
using jinja::List;
using jinja::Runtime;
using jinja::Value;

// The words a message's role can be. They come from a closed list, so they can carry nothing that
// somebody wrote, and templates build control tokens from them ("<|" + role + "|>"): literal.
constexpr std::array<std::string_view, 8> kRoles{"system", "developer", "user",    "assistant",
                                                 "tool",   "function",  "ipython", "model"};

Value from_json(Runtime& rt, const Json& json, Origin origin, size_t depth) {
  if (depth > kTemplateDepthMax) {
    return rt.exhausted(fmt::format("an input is nested deeper than {} levels", kTemplateDepthMax));
  }
  switch (json.type()) {
    case Json::value_t::boolean:
      return Value::boolean(json.get<bool>(), origin);
    case Json::value_t::number_integer:
      return Value::integer(json.get<int64_t>(), origin);
    case Json::value_t::number_unsigned: {
      const auto number = json.get<uint64_t>();
      if (number > INT64_MAX) return Value::real(static_cast<double>(number), origin);
      return Value::integer(static_cast<int64_t>(number), origin);
    }
    case Json::value_t::number_float:
      return Value::real(json.get<double>(), origin);
    case Json::value_t::string:
      return rt.borrowed(json.get_ref<const std::string&>(), origin);
    case Json::value_t::array: {
      List* list = rt.new_list(json.size());
      for (const Json& item : json) {
        if (rt.failed()) return {};
        rt.add(list, from_json(rt, item, origin, depth + 1));
      }
      return Value::of(Kind::kList, list);
    }
    case Json::value_t::object: {
      Dict* dict = rt.new_dict();
      if (!rt.charge_memory(json.size() * 2 * sizeof(Value))) return {};
      dict->items.reserve(json.size());
      for (const auto& [key, item] : json.items()) {
        if (rt.failed()) return {};
        dict->items.emplace_back(rt.borrowed(key, origin), from_json(rt, item, origin, depth + 1));
      }
      return Value::of(dict);
    }
    default:
      return Value::none(origin);
  }
}

void mark_roles(Runtime& rt, const Value& messages) {
  if (!messages.is(Kind::kList)) return;
  for (const Value& message : messages.list->items) {
    if (!message.is_dict()) continue;
    for (auto& [key, value] : message.dict->items) {
      if (key.text() != "role" || !value.is_string()) continue;
      const auto role = std::find(kRoles.begin(), kRoles.end(), value.text());
      if (role != kRoles.end()) value = rt.text(*role, Origin::kLiteral);
    }
  }
}

// The engine's own variables: what a request sends along may not take their place.
constexpr std::array<std::string_view, 4> kReserved{"messages", "tools", "documents",
                                                    "add_generation_prompt"};

Result<void> check_kwargs(const RenderInputs& inputs) {
  if (!inputs.kwargs.is_object()) return {};
  for (const auto& [name, value] : inputs.kwargs.items()) {
    const bool is_token = inputs.tokens.is_object() && inputs.tokens.contains(name);
    if (is_token || std::ranges::find(kReserved, name) != kReserved.end()) {
      return Error::invalid(
          fmt::format("'{}' cannot be given to the chat template: the engine sets it", name));
    }
  }
  return {};
}

void define_all(jinja::Evaluator& evaluator, Runtime& rt, const Json& object, Origin origin) {
  if (!object.is_object()) return;
  for (const auto& [name, value] : object.items()) {
    evaluator.define(name, from_json(rt, value, origin, 0));
  }
}

}  // namespace

struct ChatTemplate::Impl {
  std::unique_ptr<const jinja::Template> source;
};

ChatTemplate::ChatTemplate(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::parse(std::string_view source) {
  MARU_TRY(parsed, jinja::parse_template(source));
  return ChatTemplate(std::make_unique<const Impl>(Impl{std::move(parsed)}));
}

Result<Spans> ChatTemplate::render(const RenderInputs& inputs) const {
  MARU_TRY_VOID(check_kwargs(inputs));
  Runtime rt(inputs.now_unix_seconds);
  jinja::Evaluator evaluator(rt, *impl_->source);
  for (const jinja::GlobalDef& global : jinja::globals()) {
    evaluator.define(global.name, rt.callable({global.name, global.fn, {}}));
  }
  const Value messages = from_json(rt, inputs.messages, Origin::kData, 0);
  mark_roles(rt, messages);
  evaluator.define("messages", messages);
  evaluator.define("tools", from_json(rt, inputs.tools, Origin::kData, 0));
  evaluator.define("documents", Value::none());
  evaluator.define("add_generation_prompt", Value::boolean(inputs.add_generation_prompt));
  define_all(evaluator, rt, inputs.tokens, Origin::kLiteral);
  define_all(evaluator, rt, inputs.kwargs, Origin::kData);
  Spans spans;
  const jinja::Buf* text = rt.failed() ? nullptr : &evaluator.run();
  if (text != nullptr && rt.charge_memory(text->n_runs() * sizeof(Span))) {
    spans.reserve(text->n_runs());
    text->for_each_run(0, static_cast<uint32_t>(text->size()),
                       [&spans](std::string_view run, Origin origin) {
                         spans.push_back({std::string(run), origin});
                       });
  }
  if (rt.failed()) return rt.take_error();
  return spans;
}

}  // namespace maru::text
