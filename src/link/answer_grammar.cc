#include "link/answer_grammar.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace maru::link {
namespace {

using grammar::GrammarKind;
using grammar::GrammarSpec;
using grammar::Piece;

Piece text_piece(std::string_view text) {
  return {.kind = Piece::kText, .text = std::string(text)};
}
Piece sequence(std::vector<Piece> parts) {
  return {.kind = Piece::kSequence, .parts = std::move(parts)};
}
Piece either(std::vector<Piece> parts) {
  return {.kind = Piece::kEither, .parts = std::move(parts)};
}
Piece maybe(Piece piece) { return either({sequence({}), std::move(piece)}); }

// Where a template has a form of its own for what lies between reasoning and answer.
Piece line_ends() { return either({text_piece(""), text_piece("\n"), text_piece("\n\n")}); }

Result<Piece> call_piece(const text::CallFormat& format, const std::string& name,
                         const Json& tools) {
  for (size_t i = 0; tools.is_array() && i < tools.size(); ++i) {
    const Json function = tools[i].is_object() ? tools[i].value("function", Json()) : Json();
    if (!function.is_object() || function.value("name", Json()) != name) continue;
    Piece schema{.kind = Piece::kSchema,
                 .text = dump_json(arguments_schema(function)),
                 .name = fmt::format("tools[{}].function.parameters", i)};
    Piece call = sequence({text_piece(std::string(format.before_name) + name)});
    if (!format.id_mark.empty()) {
      const GrammarSpec id{.kind = GrammarKind::kRegex,
                           .source = fmt::format("[a-zA-Z0-9]{{{}}}", text::kCallIdBytes)};
      call.parts.push_back(text_piece(format.id_mark));
      call.parts.push_back(
          {.kind = Piece::kGrammar, .grammar = std::make_shared<const GrammarSpec>(id)});
    }
    for (Piece& part : std::vector<Piece>{text_piece(format.after_name), std::move(schema),
                                          text_piece(format.after_arguments)}) {
      call.parts.push_back(std::move(part));
    }
    return call;
  }
  return Error::invalid(fmt::format("calls names \"{:.64}\", which is no function of tools", name),
                        "calls");
}

Result<Piece> calls_piece(const text::CallFormat& format, const CallRule& rule, size_t n_max,
                          const Json& tools) {
  Piece call = either({});
  for (const std::string& name : rule.names) {
    MARU_TRY(piece, call_piece(format, name, tools));
    call.parts.push_back(std::move(piece));
  }
  Piece calls{.kind = Piece::kRepeat,
              .parts = {std::move(call), text_piece(format.between)},
              .min = static_cast<uint32_t>(std::max<size_t>(rule.n_min, 1)),
              .max = static_cast<uint32_t>(n_max)};
  Piece all = sequence({text_piece(format.begin), std::move(calls), text_piece(format.end)});
  if (format.maybe_first.empty()) return all;
  return sequence({maybe(text_piece(format.maybe_first)), std::move(all)});
}

// Text in which nothing begins that would be read as something else.
Piece free_piece(const text::AnswerFormat& format, const CallRule& rule) {
  const text::CallFormat& calls = *format.calls;
  Piece piece{.kind = Piece::kFree};
  (calls.at_start_only ? piece.begins : piece.texts).emplace_back(calls.mark);
  if (!calls.maybe_first.empty()) piece.begins.emplace_back(calls.maybe_first);
  for (const text::CallFormat& other : calls.also) {
    for (const std::string& name : rule.names) {
      piece.begins.push_back(std::string(other.before_name) + name + std::string(other.after_name));
    }
  }
  if (const text::ReasoningFormat* reasoning = format.reasoning) {
    const bool has_begin = !reasoning->content_begin.empty();
    piece.texts.emplace_back(has_begin ? reasoning->close_mark : reasoning->open);
  }
  return piece;
}

}  // namespace

Json arguments_schema(const Json& function) {
  const Json parameters = function.value("parameters", Json());
  const bool is_empty = !parameters.is_object() || parameters.empty();
  if (is_empty && !parameters.is_boolean()) {
    return {{"type", "object"}, {"properties", Json::object()}, {"additionalProperties", false}};
  }
  if (!parameters.is_object()) return parameters;
  Json schema = parameters;
  if (!schema.contains("type") || schema["type"].is_array()) schema["type"] = "object";
  constexpr std::array kOpen = {"additionalProperties",
                                "patternProperties",
                                "allOf",
                                "anyOf",
                                "oneOf",
                                "$ref",
                                "if",
                                "dependentSchemas",
                                "dependencies",
                                "unevaluatedProperties"};
  const bool says_so = std::ranges::any_of(
      kOpen, [&schema](const char* keyword) { return schema.contains(keyword); });
  if (schema.contains("properties") && !says_so) schema["additionalProperties"] = false;
  return schema;
}

Result<std::optional<GrammarSpec>> answer_grammar(const text::ChatShape& shape,
                                                  text::ReasoningState state,
                                                  const GenerateRequest& request,
                                                  const Json& tools) {
  const text::AnswerFormat& format = shape.format();
  const text::ReasoningFormat* reasoning = format.reasoning;
  const bool is_held = reasoning != nullptr && reasoning->always_held;
  if (!request.calls && !request.grammar && !is_held) return std::optional<GrammarSpec>();
  const bool plain = !request.calls && !is_held &&
                     (reasoning == nullptr || state == text::ReasoningState::kClosed);
  if (plain) return request.grammar;

  const CallRule rule = request.calls.value_or(CallRule{});
  size_t n_max = std::min(rule.n_max, kCallsMax);
  if (!shape.parallel()) n_max = std::min<size_t>(n_max, 1);

  Piece content = free_piece(format, rule);
  if (request.grammar) {
    content = {.kind = Piece::kGrammar,
               .grammar = std::make_shared<const GrammarSpec>(*request.grammar)};
  }
  const bool has_begin = reasoning != nullptr && !reasoning->content_begin.empty();
  if (has_begin) content = sequence({text_piece(reasoning->content_begin), std::move(content)});

  Piece answer = std::move(content);
  if (n_max > 0) {
    MARU_TRY(calls, calls_piece(*format.calls, rule, n_max, tools));
    if (rule.n_min > 0) {
      answer = std::move(calls);
    } else if (has_begin || request.grammar || format.calls->at_start_only) {
      answer = either({std::move(answer), std::move(calls)});
    } else {
      answer = either({sequence({std::move(answer), maybe(std::move(calls))})});
      for (const text::CallFormat& other : format.calls->also) {
        MARU_TRY(call, calls_piece(other, rule, 1, tools));
        answer.parts.push_back(std::move(call));
      }
    }
  }
  if (reasoning != nullptr && state != text::ReasoningState::kClosed) {
    const Piece thought{.kind = Piece::kFree, .texts = {std::string(reasoning->close_mark)}};
    Piece part = sequence({thought, text_piece(reasoning->close)});
    if (!has_begin) part.parts.push_back(line_ends());
    if (state == text::ReasoningState::kNone) {
      part.parts.insert(part.parts.begin(), text_piece(reasoning->open));
      part = maybe(std::move(part));
    }
    answer = sequence({std::move(part), std::move(answer)});
  }
  GrammarSpec spec{.kind = GrammarKind::kPieces};
  spec.pieces = std::move(answer);
  return std::optional<GrammarSpec>(std::move(spec));
}

}  // namespace maru::link
