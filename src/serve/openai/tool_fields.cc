// serve/openai/tool_fields.cc - see tool_fields.h.
#include "serve/openai/tool_fields.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/answer_format.h"

namespace maru::serve::openai {
namespace {

Error unsupported(std::string message, std::string param) {
  Error error = Error::unsupported(std::move(message));
  error.param = std::move(param);
  return error;
}

Result<void> check_parameters(const Json& parameters, const std::string& where) {
  if (!parameters.is_object()) {
    return Error::invalid(where + " must be a JSON schema: an object", where);
  }
  const Json type = parameters.value("type", Json("object"));
  const bool has_object =
      type == "object" || (type.is_array() && std::ranges::find(type, "object") != type.end());
  if (!has_object) {
    return Error::invalid(where + ".type must be \"object\": arguments are an object",
                          where + ".type");
  }
  const size_t n_bytes = dump_json(parameters).size();
  if (n_bytes > kParametersBytesMax) {
    return Error::invalid(fmt::format("{} has {} bytes; at most {} are accepted", where, n_bytes,
                                      kParametersBytesMax),
                          where);
  }
  return {};
}

// {"type": "function", "function": {"name", "description", "parameters", "strict"}}, checked.
Result<Json> read_tool(const Json& tool, const std::string& where, Fields& fields) {
  if (!tool.is_object()) return Error::invalid(where + " must be an object", where);
  const Json type = tool.value("type", Json("function"));
  if (type != "function") {
    return unsupported(
        fmt::format("{}.type must be \"function\"; no other tools are supported", where),
        where + ".type");
  }
  const Json function = tool.value("function", Json());
  const std::string at = where + ".function";
  if (!function.is_object()) {
    return Error::invalid(at + " must be an object with name and parameters", at);
  }
  const Json name = function.value("name", Json());
  if (!name.is_string() || !text::is_function_name(name.get_ref<const std::string&>())) {
    return Error::invalid(at + ".name must be 1 to 64 letters, digits, _ and -", at + ".name");
  }
  Json checked = {{"name", name}};
  for (const auto& [key, value] : function.items()) {
    if (key == "name" || value.is_null()) continue;
    if (key == "description") {
      if (!value.is_string()) {
        return Error::invalid(at + ".description must be a string", at + ".description");
      }
    } else if (key == "parameters") {
      MARU_TRY_VOID(check_parameters(value, at + ".parameters"));
    } else if (key == "strict") {
      if (!value.is_boolean()) {
        return Error::invalid(at + ".strict must be true or false", at + ".strict");
      }
      continue;                    // calls are held to their schema either way
    } else if (key != "return") {  // some templates read it
      fields.ignore("tools[].function." + key);
      continue;
    }
    checked[key] = value;
  }
  // Templates and models expect both.
  if (!checked.contains("description")) checked["description"] = "";
  if (!checked.contains("parameters")) {
    checked["parameters"] = {{"type", "object"}, {"properties", Json::object()}};
  }
  return Json{{"type", "function"}, {"function", std::move(checked)}};
}

Result<Json> read_declared(const Json& tools, Fields& fields) {
  if (tools.size() > link::kToolsMax) {
    return Error::invalid(
        fmt::format("{} tools; at most {} are accepted", tools.size(), link::kToolsMax), "tools");
  }
  Json declared = Json::array();
  std::vector<std::string> names;
  for (size_t i = 0; i < tools.size(); ++i) {
    const std::string where = fmt::format("tools[{}]", i);
    MARU_TRY(tool, read_tool(tools[i], where, fields));
    const auto name = tool["function"]["name"].get<std::string>();
    if (std::ranges::find(names, name) != names.end()) {
      return Error::invalid(fmt::format("{}.function.name: there is another \"{}\"", where, name),
                            where + ".function.name");
    }
    names.push_back(name);
    declared.push_back(std::move(tool));
  }
  return declared;
}

Result<std::string> read_function_name(const Json& choice, const std::string& where,
                                       const std::vector<std::string>& names) {
  const Json type = choice.is_object() ? choice.value("type", Json()) : Json();
  const Json function = choice.is_object() ? choice.value("function", Json()) : Json();
  const Json name = function.is_object() ? function.value("name", Json()) : Json();
  if (type != "function" || !name.is_string()) {
    return Error::invalid(
        where + R"( must be like {"type": "function", "function": {"name": "..."}})", where);
  }
  const auto text = name.get<std::string>();
  if (std::ranges::find(names, text) == names.end()) {
    return Error::invalid(fmt::format("{} names \"{:.64}\", which is none of tools", where, text),
                          where);
  }
  return text;
}

// tool_choice as the fewest calls and the functions that may be called.
Result<link::CallRule> read_choice(const Json* choice, const std::vector<std::string>& names) {
  constexpr size_t kMax = link::kCallsMax;
  const auto accepted = Error::invalid(
      "tool_choice must be \"none\", \"auto\", \"required\", a function "
      R"(({"type": "function", "function": {"name": "..."}}) or allowed_tools)",
      "tool_choice");
  if (choice == nullptr || *choice == "auto") return link::CallRule{0, kMax, names};
  if (*choice == "none") return link::CallRule{};
  if (*choice == "required") return link::CallRule{1, kMax, names};
  if (!choice->is_object()) return accepted;
  const Json type = choice->value("type", Json());
  if (type == "function") {
    MARU_TRY(name, read_function_name(*choice, "tool_choice", names));
    return link::CallRule{1, 1, {std::move(name)}};
  }
  const Json allowed = choice->value("allowed_tools", Json());
  if (type != "allowed_tools" || !allowed.is_object()) return accepted;
  const Json mode = allowed.value("mode", Json());
  const Json list = allowed.value("tools", Json());
  if ((mode != "auto" && mode != "required") || !list.is_array() || list.empty() ||
      list.size() > link::kToolsMax) {
    return Error::invalid(
        "tool_choice.allowed_tools must have mode \"auto\" or \"required\" and an array of tools",
        "tool_choice.allowed_tools");
  }
  link::CallRule rule{mode == "required" ? size_t{1} : size_t{0}, kMax, {}};
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string where = fmt::format("tool_choice.allowed_tools.tools[{}]", i);
    MARU_TRY(name, read_function_name(list[i], where, names));
    if (std::ranges::find(rule.names, name) == rule.names.end()) rule.names.push_back(name);
  }
  return rule;
}

}  // namespace

Result<Tools> read_tools(Fields& fields) {
  const Json* given = fields.find("tools");
  const Json* choice = fields.find("tool_choice");
  const bool parallel = fields.flag("parallel_tool_calls");
  if (given == nullptr || given->empty()) {
    if (choice != nullptr && *choice != "none" && *choice != "auto") {
      return Error::invalid("tool_choice needs tools", "tool_choice");
    }
    return Tools{};
  }
  Tools tools;
  MARU_TRY(declared, read_declared(*given, fields));
  std::vector<std::string> names;
  for (const Json& tool : declared) names.push_back(tool["function"]["name"].get<std::string>());
  MARU_TRY(rule, read_choice(choice, names));
  if (!parallel) rule.n_max = std::min<size_t>(rule.n_max, 1);
  // A model that may not call anything is told of nothing that it could call.
  if (rule.n_max > 0) tools.declared = std::move(declared);
  tools.calls = std::move(rule);
  return tools;
}

}  // namespace maru::serve::openai
