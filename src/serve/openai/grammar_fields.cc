#include "serve/openai/grammar_fields.h"

#include <fmt/format.h>

#include <array>

namespace maru::serve::openai {
namespace {

using grammar::GrammarKind;
using grammar::GrammarSpec;
using Spec = std::optional<GrammarSpec>;

GrammarSpec of_source(GrammarKind kind, std::string source) {
  return {.kind = kind, .source = std::move(source), .choices = {}};
}

// A schema, or its text.
Result<Spec> read_schema(const Json& value, const std::string& field) {
  if (value.is_string()) {
    return Spec(of_source(GrammarKind::kJsonSchema, value.get<std::string>()));
  }
  if (value.is_object() || value.is_boolean()) {
    return Spec(of_source(GrammarKind::kJsonSchema, dump_json(value)));
  }
  return Error::invalid(field + " must be a JSON schema: an object", field);
}

Result<Spec> read_text(GrammarKind kind, const Json& value, const std::string& field) {
  if (!value.is_string()) return Error::invalid(field + " must be a string", field);
  return Spec(of_source(kind, value.get<std::string>()));
}

Result<Spec> read_choice(const Json& value, const std::string& field) {
  GrammarSpec spec{.kind = GrammarKind::kChoice, .source = {}, .choices = {}};
  const Error wrong = Error::invalid(
      fmt::format("{} must be an array of 1 to {} strings", field, grammar::kChoicesMax), field);
  if (!value.is_array() || value.empty() || value.size() > grammar::kChoicesMax) return wrong;
  for (const Json& choice : value) {
    if (!choice.is_string()) return wrong;
    spec.choices.push_back(choice.get<std::string>());
  }
  return Spec(std::move(spec));
}

Result<Spec> read_response_format(const Json& value) {
  const Json type = value.value("type", Json());
  if (type == "text") return Spec();
  if (type == "json_object") {
    return Spec(of_source(GrammarKind::kJsonSchema, R"({"type":"object"})"));
  }
  if (type != "json_schema") {
    return Error::invalid("response_format.type must be text, json_object or json_schema",
                          "response_format.type");
  }
  const Json* schema = nullptr;
  if (const auto outer = value.find("json_schema"); outer != value.end() && outer->is_object()) {
    if (const auto inner = outer->find("schema"); inner != outer->end()) schema = &*inner;
  }
  if (schema == nullptr) {
    return Error::invalid("response_format.json_schema.schema is required",
                          "response_format.json_schema.schema");
  }
  return read_schema(*schema, "response_format.json_schema.schema");
}

Result<Spec> read_one(std::string_view kind, const Json& value, const std::string& field) {
  if (kind == "json") return read_schema(value, field);
  if (kind == "regex") return read_text(GrammarKind::kRegex, value, field);
  if (kind == "choice") return read_choice(value, field);
  return read_text(GrammarKind::kGbnf, value, field);
}

Result<Spec> read_structured_outputs(const Json& value) {
  Spec found;
  for (const auto& [name, part] : value.items()) {
    if (part.is_null()) continue;
    const std::string field = "structured_outputs." + name;
    if (name != "json" && name != "regex" && name != "choice" && name != "grammar") {
      Error error = Error::unsupported(field + " is not supported");
      error.param = field;
      return error;
    }
    if (found) {
      return Error::invalid("structured_outputs has one of json, regex, choice and grammar", field);
    }
    MARU_TRY(spec, read_one(name, part, field));
    found = std::move(spec);
  }
  if (!found) {
    return Error::invalid("structured_outputs needs one of json, regex, choice and grammar",
                          "structured_outputs");
  }
  return found;
}

}  // namespace

Result<Spec> read_grammar(const Fields& fields) {
  struct Place {
    std::string_view name;
    std::string_view kind;
  };
  constexpr std::array kPlaces = {
      Place{"response_format", ""},     Place{"json_schema", "json"},
      Place{"grammar", "grammar"},      Place{"structured_outputs", ""},
      Place{"guided_json", "json"},     Place{"guided_regex", "regex"},
      Place{"guided_choice", "choice"}, Place{"guided_grammar", "grammar"}};
  Spec found;
  for (const Place& place : kPlaces) {
    const Json* value = fields.find(place.name);
    if (value == nullptr || (place.name == "grammar" && *value == "")) continue;
    const std::string field(place.name);
    Result<Spec> spec = place.name == "response_format"      ? read_response_format(*value)
                        : place.name == "structured_outputs" ? read_structured_outputs(*value)
                                                             : read_one(place.kind, *value, field);
    if (!spec.ok()) return spec;
    if (!spec->has_value()) continue;
    if (found) {
      return Error::invalid(field +
                                " is the second field that says what the answer must look "
                                "like; leave out one",
                            field);
    }
    found = std::move(spec).value();
  }
  return found;
}

}  // namespace maru::serve::openai
