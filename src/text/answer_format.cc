#include "text/answer_format.h"

#include <algorithm>
#include <array>

namespace maru::text {
namespace {

constexpr std::string_view kJsonName = R"({"name": ")";
constexpr std::string_view kArguments = R"(", "arguments": )";

// Qwen 2.5 Coder and small models write these, in spite of what their template asks for.
constexpr auto kWithoutMark = std::to_array<CallFormat>({
    {.name = "plain",
     .before_name = kJsonName,
     .after_name = kArguments,
     .after_arguments = "}",
     .at_start_only = true,
     .parallel = false},
    {.name = "fenced",
     .before_name = "```json\n{\n  \"name\": \"",
     .after_name = "\",\n  \"arguments\": ",
     .after_arguments = "\n}\n```",
     .at_start_only = true,
     .parallel = false},
});

constexpr auto kCallFormats = std::to_array<CallFormat>({
    {.name = "hermes",
     .mark = "<tool_call>",
     .before_name = "<tool_call>\n{\"name\": \"",
     .after_name = kArguments,
     .after_arguments = "}\n</tool_call>",
     .between = "\n",
     .also = kWithoutMark},
    {.name = "mistral_args",
     .mark = "[TOOL_CALLS]",
     .before_name = "[TOOL_CALLS]",
     .after_name = "[ARGS]",
     .after_arguments = ""},
    {.name = "mistral_id",
     .mark = "[TOOL_CALLS]",
     .before_name = "[TOOL_CALLS]",
     .after_name = "[ARGS]",
     .id_mark = "[CALL_ID]"},
    {.name = "mistral",
     .mark = "[TOOL_CALLS]",
     .begin = "[TOOL_CALLS] [",
     .before_name = kJsonName,
     .after_name = kArguments,
     .after_arguments = "}",
     .between = ", ",
     .end = "]"},
    {.name = "mistral_compact",
     .mark = "[TOOL_CALLS]",
     .begin = "[TOOL_CALLS][",
     .before_name = kJsonName,
     .after_name = kArguments,
     .after_arguments = "}",
     .between = ", ",
     .end = "]"},
    {.name = "deepseek",
     .mark = "<｜tool▁calls▁begin｜>",
     .begin = "<｜tool▁calls▁begin｜>",
     .before_name = "<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
     .after_name = "\n```json\n",
     .after_arguments = "\n```<｜tool▁call▁end｜>",
     .between = "\n",
     .end = "<｜tool▁calls▁end｜>"},
    {.name = "deepseek_v3.1",
     .mark = "<｜tool▁calls▁begin｜>",
     .begin = "<｜tool▁calls▁begin｜>",
     .before_name = "<｜tool▁call▁begin｜>",
     .after_name = "<｜tool▁sep｜>",
     .after_arguments = "<｜tool▁call▁end｜>",
     .end = "<｜tool▁calls▁end｜>"},
    {.name = "granite",
     .mark = "<|tool_call|>",
     .begin = "<|tool_call|>[",
     .before_name = kJsonName,
     .after_name = kArguments,
     .after_arguments = "}",
     .between = ", ",
     .end = "]"},
    {.name = "nemotron",
     .mark = "<TOOLCALL>",
     .begin = "<TOOLCALL>[",
     .before_name = kJsonName,
     .after_name = kArguments,
     .after_arguments = "}",
     .between = ", ",
     .end = "]</TOOLCALL>"},
    {.name = "gigachat",
     .mark = "<|function_call|>",
     .before_name = "<|function_call|>{\"name\": \"",
     .after_name = kArguments,
     .after_arguments = "}",
     .parallel = false},
    {.name = "harmony",
     .mark = "<|channel|>",
     .before_name = "<|channel|>commentary to=functions.",
     .after_name = " <|constrain|>json<|message|>",
     .parallel = false},
    // Last: it has no mark of its own.
    {.name = "llama3",
     .mark = "{\"name\"",
     .before_name = kJsonName,
     .after_name = R"(", "parameters": )",
     .after_arguments = "}",
     .between = "; ",
     .maybe_first = "<|python_tag|>",
     .at_start_only = true},
});

constexpr auto kReasoningFormats = std::to_array<ReasoningFormat>({
    {.name = "harmony",
     .open = "<|channel|>analysis<|message|>",
     .close = "<|end|><|start|>assistant",
     .close_mark = "<|end|>",
     .content_begin = "<|channel|>final<|message|>",
     .always_held = true},
    {.name = "think", .open = "<think>", .close = "</think>", .close_mark = "</think>"},
    {.name = "think_brackets", .open = "[THINK]", .close = "[/THINK]", .close_mark = "[/THINK]"},
});

bool occurs(std::string_view text, std::string_view token) {
  return text.find(token) != std::string_view::npos;
}

}  // namespace

std::span<const CallFormat> call_formats() { return kCallFormats; }
std::span<const ReasoningFormat> reasoning_formats() { return kReasoningFormats; }
const CallFormat& generic_call_format() { return kCallFormats.front(); }

const CallFormat* find_call_format(std::string_view name) {
  const auto found = std::ranges::find(kCallFormats, name, &CallFormat::name);
  return found == kCallFormats.end() ? nullptr : &*found;
}

const ReasoningFormat* find_reasoning_format(std::string_view name) {
  const auto found = std::ranges::find(kReasoningFormats, name, &ReasoningFormat::name);
  return found == kReasoningFormats.end() ? nullptr : &*found;
}

bool is_part_of(const AnswerFormat& format, std::string_view token) {
  if (token.empty()) return false;
  if (const CallFormat* calls = format.calls) {
    for (const std::string_view text :
         {calls->begin, calls->before_name, calls->after_name, calls->after_arguments,
          calls->between, calls->end, calls->id_mark, calls->maybe_first}) {
      if (occurs(text, token)) return true;
    }
  }
  if (const ReasoningFormat* reasoning = format.reasoning) {
    for (const std::string_view text :
         {reasoning->open, reasoning->close, reasoning->content_begin}) {
      if (occurs(text, token)) return true;
    }
  }
  return false;
}

bool is_function_name(std::string_view name) {
  return !name.empty() && name.size() <= kFunctionNameBytesMax &&
         std::ranges::all_of(name, [](char c) {
           return ((c | 32) >= 'a' && (c | 32) <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
                  c == '-';
         });
}

}  // namespace maru::text
