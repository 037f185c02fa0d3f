// text/test_answers.h - answers of every family with what they come apart into, for
// answer_parser_test and answer_parser_fuzz.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/answer_parser.h"

namespace maru::text {

struct TestAnswer {
  std::string_view calls;
  std::string_view reasoning;
  bool in_reasoning;
  std::string text;
  AnswerParts expected;
};

// Neighbours of one kind joined, so that only what was said counts.
inline AnswerParts joined_parts(const AnswerParts& parts) {
  AnswerParts joined;
  for (const AnswerPart& part : parts) {
    const bool goes_on =
        !joined.empty() && joined.back().kind == part.kind && part.kind != AnswerPart::kCall;
    if (goes_on) {
      joined.back().text += part.text;
    } else {
      joined.push_back(part);
    }
  }
  return joined;
}

inline AnswerParts parse_answer(const TestAnswer& answer, const std::vector<std::string>& pieces) {
  AnswerParser parser({find_call_format(answer.calls), find_reasoning_format(answer.reasoning)},
                      {.in_reasoning = answer.in_reasoning, .names = {"f", "g"}});
  AnswerParts parts;
  for (const std::string& piece : pieces) parser.feed(piece, parts);
  parser.finish(parts);
  return joined_parts(parts);
}

inline const std::vector<TestAnswer>& test_answers() {
  constexpr auto kText = AnswerPart::kContent;
  constexpr auto kThought = AnswerPart::kReasoning;
  constexpr auto kCall = AnswerPart::kCall;
  constexpr auto kArgs = AnswerPart::kArguments;
  static const std::vector<TestAnswer> kAnswers = {
      {"hermes", "", false, "It is 7 < 8.\n", {{kText, "It is 7 < 8.\n"}}},
      {"hermes", "", false, "", {}},
      {"hermes",
       "",
       false,
       "{\"name\": \"f\", \"arguments\": {\"a\": 1}}",
       {{kCall, "f"}, {kArgs, "{\"a\": 1}"}}},
      {"hermes",
       "think",
       false,
       "<think>So.</think>\n```json\n{\n  \"name\": \"f\",\n  \"arguments\": {\n    \"a\": 1\n  "
       "}\n}\n```",
       {{kThought, "So."}, {kCall, "f"}, {kArgs, "{\n    \"a\": 1\n  }"}}},
      {"hermes",
       "",
       false,
       "{\"name\": \"other\", \"arguments\": {}}",
       {{kText, "{\"name\": \"other\", \"arguments\": {}}"}}},
      {"hermes",
       "",
       false,
       "So: {\"name\": \"f\", \"arguments\": {}}",
       {{kText, "So: {\"name\": \"f\", \"arguments\": {}}"}}},
      {"hermes",
       "",
       false,
       "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"}\\\"{\"}}\n</tool_call>",
       {{kCall, "f"}, {kArgs, "{\"a\": \"}\\\"{\"}"}}},
      {"hermes",
       "",
       false,
       "Let me look. \n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\n"
       "<tool_call>\n{\"name\": \"g\", \"arguments\": {\"도시\": [\"서울\", {}]}}\n</tool_call>\n",
       {{kText, "Let me look."},
        {kCall, "f"},
        {kArgs, "{}"},
        {kCall, "g"},
        {kArgs, "{\"도시\": [\"서울\", {}]}"}}},
      {"hermes",
       "think",
       false,
       "<think>\nHm, <tool_call>?\n</think>\n\nYes.",
       {{kThought, "Hm, <tool_call>?"}, {kText, "Yes."}}},
      {"hermes",
       "think",
       true,
       "\nHm.\n</think>\n\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>",
       {{kThought, "Hm."}, {kCall, "f"}, {kArgs, "{}"}}},
      {"hermes", "think", false, "<thin air", {{kText, "<thin air"}}},
      {"hermes", "think", true, "never done </thin", {{kThought, "never done </thin"}}},
      {"", "think", false, "<think>\n\n</think>\n\nYes.", {{kText, "Yes."}}},
      {"mistral",
       "",
       false,
       "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"x\": [1, 2]}}, {\"name\": \"g\", "
       "\"arguments\": {}}]",
       {{kCall, "f"}, {kArgs, "{\"x\": [1, 2]}"}, {kCall, "g"}, {kArgs, "{}"}}},
      {"mistral_args",
       "think_brackets",
       false,
       "[THINK]Hm[/THINK]So:[TOOL_CALLS]f[ARGS]{\"x\": \"[ARGS]\"}[TOOL_CALLS]g[ARGS]{}",
       {{kThought, "Hm"},
        {kText, "So:"},
        {kCall, "f"},
        {kArgs, "{\"x\": \"[ARGS]\"}"},
        {kCall, "g"},
        {kArgs, "{}"}}},
      {"mistral_id",
       "",
       false,
       "[TOOL_CALLS]f[CALL_ID]abcdefgh1[ARGS]{}[TOOL_CALLS]g[CALL_ID]abcdefgh2[ARGS]{}",
       {{kCall, "f"}, {kArgs, "{}"}, {kCall, "g"}, {kArgs, "{}"}}},
      {"mistral_id",
       "",
       false,
       "[TOOL_CALLS]f[CALL_ID]short[ARGS]{}",
       {{kText, "[TOOL_CALLS]f[CALL_ID]short[ARGS]{}"}}},
      {"deepseek",
       "think",
       true,
       "Hm.</think>Then.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n"
       "```json\n{\"a\": 1}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>g\n"
       "```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
       {{kThought, "Hm."},
        {kText, "Then."},
        {kCall, "f"},
        {kArgs, "{\"a\": 1}"},
        {kCall, "g"},
        {kArgs, "{}"}}},
      {"deepseek_v3.1",
       "think",
       false,
       "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": 1}<｜tool▁call▁end｜>"
       "<｜tool▁call▁begin｜>g<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
       {{kCall, "f"}, {kArgs, "{\"a\": 1}"}, {kCall, "g"}, {kArgs, "{}"}}},
      {"llama3",
       "",
       false,
       "{\"name\": \"f\", \"parameters\": {\"a\": 1}}; {\"name\": \"g\", \"parameters\": {}}",
       {{kCall, "f"}, {kArgs, "{\"a\": 1}"}, {kCall, "g"}, {kArgs, "{}"}}},
      {"llama3",
       "",
       false,
       "<|python_tag|>{\"name\": \"f\", \"parameters\": {}}",
       {{kCall, "f"}, {kArgs, "{}"}}},
      {"llama3",
       "",
       false,
       "As JSON: {\"name\": \"f\", \"parameters\": {}}",
       {{kText, "As JSON: {\"name\": \"f\", \"parameters\": {}}"}}},
      {"granite",
       "",
       false,
       "<|tool_call|>[{\"name\": \"f\", \"arguments\": {}}]",
       {{kCall, "f"}, {kArgs, "{}"}}},
      {"nemotron",
       "",
       false,
       "Yes.\n<TOOLCALL>[{\"name\": \"f\", \"arguments\": {}}, {\"name\": \"g\", \"arguments\": "
       "{}}]</TOOLCALL>\n",
       {{kText, "Yes."}, {kCall, "f"}, {kArgs, "{}"}, {kCall, "g"}, {kArgs, "{}"}}},
      {"harmony",
       "harmony",
       false,
       "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.",
       {{kThought, "Hm."}, {kText, "Yes."}}},
      {"harmony",
       "harmony",
       false,
       "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary "
       "to=functions.f <|constrain|>json<|message|>{\"a\": 1}",
       {{kThought, "Hm."}, {kCall, "f"}, {kArgs, "{\"a\": 1}"}}},
      {"harmony", "harmony", false, "<|channel|>final<|message|>Yes.", {{kText, "Yes."}}},
  };
  return kAnswers;
}

}  // namespace maru::text
