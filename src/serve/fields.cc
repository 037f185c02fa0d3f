// serve/fields.cc - see fields.h.
#include "serve/fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "engine/sampling.h"

namespace maru::serve {
namespace {

using enum FieldType;
constexpr FieldUse kRefused = FieldUse::kRefused;
constexpr FieldUse kIgnored = FieldUse::kIgnored;
constexpr double kTokensMax = 1 << 20;
constexpr double kAnyInteger = 18446744073709551615.0;

// Sorted by kind: what to generate, how to draw, what is refused, what has no effect.
constexpr auto kTable = std::to_array<FieldRow>({
    {.name = "model",
     .endpoints = kTextEndpoints | kVectorEndpoints,
     .type = kString,
     .note = "a name from GET /v1/models; required"},
    {.name = "messages",
     .endpoints = kChatEndpoint,
     .type = kArray,
     .note = "1 to 2,000; roles system, developer (read as system), user, assistant, tool; content "
             "a string or an array of text parts (joined by line ends); required"},
    {.name = "prompt",
     .endpoints = kCompletionEndpoint,
     .type = kStringOrArray,
     .note = "a string, an array of strings, token ids, or an array of token ids; required"},
    {.name = "stream", .type = kBool, .initial = "false"},
    {.name = "stream_options", .type = kObject, .note = "include_usage"},
    {.name = "receipt",
     .type = kBool,
     .initial = "false",
     .note =
         "the answer carries its receipt, for `maru replay` (docs/receipts.md); of a stream the "
         "last choice's last event does"},
    {.name = "n", .type = kInteger, .min = 1, .max = 4, .initial = "1"},
    {.name = "max_tokens",
     .type = kInteger,
     .min = 1,
     .max = kTokensMax,
     .note = "absent: up to the end of the context"},
    {.name = "max_completion_tokens",
     .endpoints = kChatEndpoint,
     .type = kInteger,
     .min = 1,
     .max = kTokensMax,
     .note = "the newer name of max_tokens"},
    {.name = "stop", .type = kStringOrArray, .note = "at most 16, each of 1 to 256 bytes"},
    {.name = "seed",
     .type = kInteger,
     .min = -9223372036854775808.0,
     .max = kAnyInteger,
     .note = "absent: a new one each time; choice i draws with seed + i"},
    {.name = "logprobs", .endpoints = kChatEndpoint, .type = kBool, .initial = "false"},
    {.name = "top_logprobs",
     .endpoints = kChatEndpoint,
     .type = kInteger,
     .max = engine::kLogprobsMax,
     .initial = "0",
     .note = "asks for logprobs: true"},
    {.name = "logprobs",
     .endpoints = kCompletionEndpoint,
     .type = kInteger,
     .max = engine::kLogprobsMax},
    {.name = "echo",
     .endpoints = kCompletionEndpoint,
     .type = kBool,
     .initial = "false",
     .note = "not together with logprobs"},
    {.name = "return_progress",
     .type = kBool,
     .initial = "false",
     .note = "with stream: true, chunks with prompt_progress while a long prompt is evaluated"},
    {.name = "ignore_eos", .type = kBool, .initial = "false"},
    {.name = "cache_prompt",
     .type = kBool,
     .initial = "true",
     .note = "false: nothing of the conversation stays in the prefix cache"},
    {.name = "user",
     .type = kString,
     .note = "whose request it is, for a fair share of the engine and nothing else; at most 256 "
             "bytes"},
    {.name = "service_tier",
     .type = kString,
     .note = "how soon the answer is needed: `auto`, `default`, `priority` and `scale` before "
             "`agent` before `flex`"},
    {.name = "add_generation_prompt",
     .endpoints = kChatEndpoint,
     .type = kBool,
     .initial = "true",
     .note = "of the chat template"},
    {.name = "continue_final_message",
     .endpoints = kChatEndpoint,
     .type = kBool,
     .initial = "false",
     .note = "go on with the last message, the assistant's; not with add_generation_prompt: true"},
    {.name = "prediction",
     .endpoints = kChatEndpoint,
     .type = kObject,
     .note = "type content and content, a string or text parts: what the answer may repeat; makes "
             "it sooner and no other (docs/speculation.md)"},
    {.name = "chat_template_kwargs",
     .endpoints = kChatEndpoint,
     .type = kObject,
     .note = "further variables of the chat template"},

    {.name = "temperature",
     .type = kNumber,
     .max = 2,
     .initial = "0.8",
     .note = "0: always the likeliest token"},
    {.name = "top_p", .type = kNumber, .max = 1, .above_min = true, .initial = "0.95"},
    {.name = "top_k", .type = kInteger, .max = kTokensMax, .initial = "40", .note = "0: all"},
    {.name = "min_p", .type = kNumber, .max = 1, .initial = "0.05"},
    {.name = "typical_p", .type = kNumber, .max = 1, .above_min = true, .initial = "1"},
    {.name = "repetition_penalty", .type = kNumber, .max = 2, .above_min = true, .initial = "1"},
    {.name = "frequency_penalty", .type = kNumber, .min = -2, .max = 2, .initial = "0"},
    {.name = "presence_penalty", .type = kNumber, .min = -2, .max = 2, .initial = "0"},
    {.name = "penalty_last_n",
     .type = kInteger,
     .max = kTokensMax,
     .initial = "64",
     .note = "how many last tokens the penalties look at"},
    {.name = "logit_bias",
     .type = kObject,
     .note = "token id to a number from -100 to 100; at most 1,024"},

    {.name = "response_format",
     .type = kObject,
     .note =
         "type text, json_object or json_schema (with json_schema.schema); what is supported is "
         "in docs/grammars.md, the rest is refused"},
    {.name = "json_schema", .type = kObject, .note = "a JSON schema; at most one of these fields"},
    {.name = "grammar", .type = kString, .note = "GBNF; empty: none"},
    {.name = "structured_outputs",
     .type = kObject,
     .note =
         "one of json (a schema, or its text), regex, choice (array of strings), grammar (GBNF)"},
    {.name = "guided_json", .type = kObject, .note = "as structured_outputs.json"},
    {.name = "guided_regex", .type = kString, .note = "as structured_outputs.regex"},
    {.name = "guided_choice", .type = kArray, .note = "as structured_outputs.choice"},
    {.name = "guided_grammar", .type = kString, .note = "as structured_outputs.grammar"},

    {.name = "tools",
     .endpoints = kChatEndpoint,
     .type = kArray,
     .note = "at most 128 of type function; names of 1 to 64 letters, digits, _ and -, none twice; "
             "parameters a JSON schema (docs/grammars.md) of at most 64 KiB that calls are held "
             "to; see docs/tools.md"},
    {.name = "tool_choice",
     .endpoints = kChatEndpoint,
     .type = kStringOrObject,
     .note = "`none`, `auto` (the default), `required`, a function or allowed_tools; enforced"},
    {.name = "parallel_tool_calls",
     .endpoints = kChatEndpoint,
     .type = kBool,
     .initial = "true",
     .note = "false: at most one call; true: at most 32, where the model's template has several"},

    {.name = "functions",
     .endpoints = kChatEndpoint,
     .use = kRefused,
     .neutral = "[[]]",
     .note = "use tools, which took their place"},
    {.name = "function_call",
     .endpoints = kChatEndpoint,
     .use = kRefused,
     .neutral = R"(["none","auto"])",
     .note = "use tool_choice, which took its place"},
    {.name = "modalities",
     .endpoints = kChatEndpoint,
     .use = kRefused,
     .neutral = R"([["text"]])",
     .note = "answers are text"},
    {.name = "audio", .endpoints = kChatEndpoint, .use = kRefused, .note = "answers are text"},
    {.name = "web_search_options",
     .endpoints = kChatEndpoint,
     .use = kRefused,
     .note = "there is no web search"},
    {.name = "chat_template",
     .endpoints = kChatEndpoint,
     .use = kRefused,
     .note = "a template is code; it comes from the model only"},
    {.name = "suffix",
     .endpoints = kCompletionEndpoint,
     .use = kRefused,
     .neutral = R"([""])",
     .note = "text cannot be filled in before a suffix yet"},
    {.name = "best_of", .use = kRefused, .neutral = "[1]", .note = "use n"},
    {.name = "min_tokens", .use = kRefused, .neutral = "[0]", .note = "use ignore_eos"},
    {.name = "stop_token_ids", .use = kRefused, .neutral = "[[]]", .note = "use stop"},
    {.name = "bad_words", .use = kRefused, .neutral = "[[]]", .note = "use logit_bias"},
    {.name = "allowed_token_ids", .use = kRefused, .neutral = "[[]]", .note = "use logit_bias"},
    {.name = "use_beam_search", .use = kRefused, .neutral = "[false]", .note = "there is none"},
    {.name = "truncate_prompt_tokens",
     .endpoints = kTextEndpoints | kVectorEndpoints,
     .use = kRefused,
     .note = "a prompt is never cut; one that is too long is an error"},

    {.name = "input",
     .endpoints = kEmbeddingsEndpoint,
     .type = kStringOrArray,
     .note =
         "a string, an array of strings, token ids, or an array of arrays of token ids; at most "
         "2,048; required"},
    {.name = "encoding_format",
     .endpoints = kEmbeddingsEndpoint,
     .type = kString,
     .initial = R"("float")",
     .note = "float, or base64 of the numbers as f32, little-endian"},
    {.name = "dimensions",
     .endpoints = kEmbeddingsEndpoint,
     .type = kInteger,
     .min = 1,
     .max = kTokensMax,
     .note = "so many first numbers of the vector; at most the model's"},
    {.name = "normalize",
     .endpoints = kEmbeddingsEndpoint,
     .type = kBool,
     .initial = "true",
     .note = "a vector has length 1, after `dimensions`; false: as the model gives it"},
    {.name = "query",
     .endpoints = kRerankEndpoint,
     .type = kString,
     .note = "what the documents are compared with; required"},
    {.name = "documents",
     .endpoints = kRerankEndpoint,
     .type = kArray,
     .note = "1 to 2,048 strings, or objects with a string `text`; required"},
    {.name = "top_n",
     .endpoints = kRerankEndpoint,
     .type = kInteger,
     .min = 1,
     .max = kTokensMax,
     .note = "so many of the best; absent: all"},
    {.name = "return_documents",
     .endpoints = kRerankEndpoint,
     .type = kBool,
     .initial = "false",
     .note = "each result has its document"},
    {.name = "raw_scores",
     .endpoints = kRerankEndpoint,
     .type = kBool,
     .initial = "false",
     .note = "true: the scores of a model that ranks are as it gives them, not from 0 to 1"},
    {.name = "truncate",
     .endpoints = kVectorEndpoints,
     .use = kRefused,
     .neutral = R"([false,"NONE"])",
     .note = "a text is never cut; one that is too long is an error"},
    {.name = "max_tokens_per_doc",
     .endpoints = kRerankEndpoint,
     .use = kRefused,
     .note = "a text is never cut; one that is too long is an error"},
    {.name = "max_chunks_per_doc",
     .endpoints = kRerankEndpoint,
     .use = kRefused,
     .note = "a text is never cut; one that is too long is an error"},
    {.name = "rank_fields",
     .endpoints = kRerankEndpoint,
     .use = kRefused,
     .note = "a document is its text"},
    {.name = "user", .endpoints = kVectorEndpoints, .use = kIgnored},

    {.name = "metadata", .use = kIgnored},
    {.name = "store", .use = kIgnored},
    {.name = "safety_identifier", .use = kIgnored},
    {.name = "prompt_cache_key", .use = kIgnored, .note = "the cache is keyed by the server alone"},
    {.name = "cache_salt", .use = kIgnored, .note = "the cache is keyed by the server alone"},
    {.name = "reasoning_effort", .endpoints = kChatEndpoint, .use = kIgnored},
    {.name = "verbosity", .endpoints = kChatEndpoint, .use = kIgnored},
});

const FieldRow* find_row(Endpoint endpoint, std::string_view name) {
  const auto row = std::ranges::find_if(kTable, [&](const FieldRow& candidate) {
    return candidate.name == name && (candidate.endpoints & endpoint) != 0;
  });
  return row == kTable.end() ? nullptr : &*row;
}

bool is_integer(const Json& value) {
  if (value.is_number_integer()) return true;
  if (!value.is_number_float()) return false;
  const double number = value.get<double>();
  return std::trunc(number) == number && std::abs(number) < 0x1p53;
}

bool has_type(const Json& value, FieldType type) {
  switch (type) {
    case kBool:
      return value.is_boolean();
    case kInteger:
      return is_integer(value);
    case kNumber:
      return value.is_number();
    case kString:
      return value.is_string();
    case kArray:
      return value.is_array();
    case kObject:
      return value.is_object();
    case kStringOrArray:
      return value.is_string() || value.is_array();
    case kStringOrObject:
      return value.is_string() || value.is_object();
    case kAny:
      return true;
  }
  return false;
}

std::string_view type_text(FieldType type) {
  switch (type) {
    case kBool:
      return "true or false";
    case kInteger:
      return "an integer";
    case kNumber:
      return "a number";
    case kString:
      return "a string";
    case kArray:
      return "an array";
    case kObject:
      return "an object";
    case kStringOrArray:
      return "a string or an array";
    case kStringOrObject:
      return "a string or an object";
    case kAny:
      return "anything";
  }
  return "";
}

bool has_range(const FieldRow& row) { return row.min != row.max; }

// "a number above 0, at most 1", "an integer from 1 to 4", "a string".
std::string accepted_text(const FieldRow& row) {
  std::string text(type_text(row.type));
  if (!has_range(row) || row.max == kAnyInteger) return text;
  if (row.above_min) return text + fmt::format(" above {}, at most {}", row.min, row.max);
  return text + fmt::format(" from {} to {}", row.min, row.max);
}

bool is_in_range(const FieldRow& row, double value) {
  if (!has_range(row)) return true;
  return (row.above_min ? value > row.min : value >= row.min) && value <= row.max;
}

Result<void> check_value(const FieldRow& row, const Json& value) {
  const std::string name(row.name);
  if (row.use == FieldUse::kRefused) {
    const Json neutral = row.neutral.empty() ? Json::array() : Json::parse(row.neutral);
    if (std::ranges::find(neutral, value) != neutral.end()) return {};
    Error error = Error::unsupported(fmt::format("{}: {}", name, row.note));
    error.param = name;
    return error;
  }
  const bool is_good =
      has_type(value, row.type) && (!value.is_number() || is_in_range(row, value.get<double>()));
  if (is_good) return {};
  const std::string got = value.is_number() ? "not " + dump_json(value)
                                            : fmt::format("not of type {}", value.type_name());
  return Error::invalid(fmt::format("{} must be {}, {}", name, accepted_text(row), got), name);
}

}  // namespace

std::span<const FieldRow> field_table() { return kTable; }

Result<Fields> Fields::check(Endpoint endpoint, Json body) {
  if (!body.is_object()) return Error::invalid("the body must be a JSON object");
  Fields fields(endpoint, std::move(body));
  for (const auto& [name, value] : fields.body_.items()) {
    if (value.is_null()) continue;
    const FieldRow* row = find_row(endpoint, name);
    if (row == nullptr || row->use == FieldUse::kIgnored) {
      fields.ignore(name);
      continue;
    }
    MARU_TRY_VOID(check_value(*row, value));
  }
  return fields;
}

void Fields::ignore(std::string name) {
  if (std::ranges::find(ignored_, name) == ignored_.end()) ignored_.push_back(std::move(name));
}

const Json* Fields::find(std::string_view name) const {
  const auto found = body_.find(name);
  return found == body_.end() || found->is_null() ? nullptr : &*found;
}

Json Fields::value_or_initial(std::string_view name) const {
  if (const Json* value = find(name)) return *value;
  const FieldRow* row = find_row(endpoint_, name);
  CHECK(row != nullptr && !row->initial.empty());
  return Json::parse(row->initial);
}

Json Fields::resolved() const {
  Json values = Json::object();
  for (const FieldRow& row : kTable) {
    if ((row.endpoints & endpoint_) == 0 || row.use != FieldUse::kHonoured) continue;
    const std::string name(row.name);
    if (const Json* value = find(name)) {
      values[name] = *value;
    } else if (!row.initial.empty()) {
      values[name] = Json::parse(row.initial);
    }
  }
  return values;
}

bool Fields::flag(std::string_view name) const { return value_or_initial(name).get<bool>(); }
double Fields::number(std::string_view name) const { return value_or_initial(name).get<double>(); }
int64_t Fields::integer(std::string_view name) const {
  return value_or_initial(name).get<int64_t>();
}

namespace {

void append_row(std::string& text, const FieldRow& row, std::string_view endpoints) {
  std::string accepted = accepted_text(row);
  std::string_view use = "honoured";
  if (row.use == FieldUse::kIgnored) use = "ignored, and named";
  if (row.use == FieldUse::kRefused) {
    use = "refused";
    const Json neutral = row.neutral.empty() ? Json::array() : Json::parse(row.neutral);
    accepted = "null";
    for (const Json& value : neutral) accepted += " or `" + dump_json(value) + "`";
  }
  text += fmt::format("| `{}` | {}{} | {} | {}{}{} |\n", row.name, endpoints, accepted, row.initial,
                      use, row.note.empty() ? "" : ": ", row.note);
}

// The rows of one endpoint.
void append_table(std::string& text, std::string_view path, Endpoint endpoint) {
  text += fmt::format(
      "\n## {}\n| field | accepted | default | what becomes of it |\n|---|---|---|---|\n", path);
  for (const FieldRow& row : kTable) {
    if ((row.endpoints & endpoint) != 0) append_row(text, row, "");
  }
}

}  // namespace

std::string field_table_markdown() {
  std::string text =
      "# Request fields\n\n"
      "Written from the table in `src/serve/fields.cc`, which is what the server checks requests "
      "against. A field that is not here is named in the response's `ignored_params`.\n\n"
      "| field | endpoints | accepted | default | what becomes of it |\n"
      "|---|---|---|---|---|\n";
  for (const FieldRow& row : kTable) {
    const unsigned endpoints = row.endpoints & kTextEndpoints;
    if (endpoints == 0) continue;
    append_row(text, row,
               endpoints == kTextEndpoints  ? "both | "
               : endpoints == kChatEndpoint ? "chat | "
                                            : "completions | ");
  }
  append_table(text, "POST /v1/embeddings", kEmbeddingsEndpoint);
  append_table(text, "POST /v1/rerank", kRerankEndpoint);
  return text;
}

}  // namespace maru::serve
