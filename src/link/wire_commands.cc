// link/wire_commands.cc - the commands of the engine protocol: what the client sends.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/base64.h"
#include "link/fields.h"
#include "link/wire.h"

namespace maru::link {
namespace {

// More stop strings or biases than are ever accepted still decode, so that the engine's own check
// can name the limit; these bounds only keep a hostile frame from growing further in memory.
constexpr size_t kWireListMax = 1 << 16;
constexpr size_t kWireMessagesMax = 1 << 20;

Json prompt_json(const Prompt& prompt) {
  if (const auto* chat = std::get_if<ChatPrompt>(&prompt)) {
    return {{"kind", "chat"},
            {"messages", chat->messages},
            {"tools", chat->tools},
            {"template_kwargs", chat->template_kwargs},
            {"add_generation_prompt", chat->add_generation_prompt},
            {"continue_final_message", chat->continue_final_message}};
  }
  if (const auto* text = std::get_if<TextPrompt>(&prompt)) {
    return {{"kind", "text"},
            {"text_base64", encode_base64(text->text)},
            {"parse_special", text->parse_special},
            {"add_special", text->add_special}};
  }
  return {{"kind", "tokens"}, {"ids", std::get<TokensPrompt>(prompt).ids}};
}

Result<Prompt> decode_prompt(const Json& value) {
  Fields fields(value, "prompt");
  const std::string kind = fields.text("kind");
  Prompt prompt;
  if (kind == "chat") {
    ChatPrompt chat;
    chat.messages = fields.array("messages", kWireMessagesMax);
    chat.tools = fields.any("tools");
    chat.template_kwargs = fields.object("template_kwargs");
    chat.add_generation_prompt = fields.boolean("add_generation_prompt");
    chat.continue_final_message = fields.boolean("continue_final_message");
    prompt = std::move(chat);
  } else if (kind == "text") {
    TextPrompt text;
    text.text = fields.bytes("text_base64");
    text.parse_special = fields.boolean("parse_special");
    text.add_special = fields.boolean("add_special");
    prompt = std::move(text);
  } else if (kind == "tokens") {
    prompt = TokensPrompt{fields.ids("ids", kWireIdsMax)};
  } else {
    fields.fail("kind", "chat, text or tokens");
  }
  MARU_TRY_VOID(fields.finish());
  return prompt;
}

Json sampling_json(const engine::SamplingParams& p) {
  Json bias = Json::array();
  for (const auto& [id, value] : p.logit_bias) bias.push_back(Json::array({id, value}));
  return {{"temperature", p.temperature},
          {"top_k", p.top_k},
          {"top_p", p.top_p},
          {"min_p", p.min_p},
          {"typical_p", p.typical_p},
          {"repetition_penalty", p.repetition_penalty},
          {"frequency_penalty", p.frequency_penalty},
          {"presence_penalty", p.presence_penalty},
          {"penalty_last_n", p.penalty_last_n},
          {"logit_bias", std::move(bias)},
          {"seed", p.seed},
          {"n_logprobs", p.n_logprobs},
          {"want_logprobs", p.want_logprobs}};
}

Result<engine::SamplingParams> decode_sampling(const Json& value) {
  Fields fields(value, "sampling");
  engine::SamplingParams p;
  p.temperature = static_cast<float>(fields.number("temperature"));
  p.top_k = fields.count("top_k");
  p.top_p = static_cast<float>(fields.number("top_p"));
  p.min_p = static_cast<float>(fields.number("min_p"));
  p.typical_p = static_cast<float>(fields.number("typical_p"));
  p.repetition_penalty = static_cast<float>(fields.number("repetition_penalty"));
  p.frequency_penalty = static_cast<float>(fields.number("frequency_penalty"));
  p.presence_penalty = static_cast<float>(fields.number("presence_penalty"));
  p.penalty_last_n = fields.count("penalty_last_n");
  for (const Json& pair : fields.array("logit_bias", kWireListMax)) {
    if (!pair.is_array() || pair.size() != 2 || !is_int32(pair[0]) || !pair[1].is_number()) {
      fields.fail("logit_bias", "an array of [id, number]");
      break;
    }
    p.logit_bias.emplace_back(pair[0].get<TokenId>(), pair[1].get<float>());
  }
  p.seed = fields.u64("seed");
  p.n_logprobs = fields.count("n_logprobs");
  p.want_logprobs = fields.boolean("want_logprobs");
  MARU_TRY_VOID(fields.finish());
  return p;
}

constexpr std::pair<grammar::GrammarKind, std::string_view> kGrammarKinds[] = {
    {grammar::GrammarKind::kJsonSchema, "json_schema"},
    {grammar::GrammarKind::kRegex, "regex"},
    {grammar::GrammarKind::kGbnf, "gbnf"},
    {grammar::GrammarKind::kChoice, "choice"}};

Json grammar_json(const std::optional<grammar::GrammarSpec>& spec) {
  if (!spec) return nullptr;
  const auto kind = std::ranges::find(kGrammarKinds, spec->kind,
                                      &std::pair<grammar::GrammarKind, std::string_view>::first);
  return {{"kind", kind->second}, {"source", spec->source}, {"choices", spec->choices}};
}

Result<std::optional<grammar::GrammarSpec>> decode_grammar(const Json& value) {
  if (value.is_null()) return std::optional<grammar::GrammarSpec>();
  Fields fields(value, "grammar");
  grammar::GrammarSpec spec;
  const std::string name = fields.text("kind");
  const auto kind = std::ranges::find(kGrammarKinds, name,
                                      &std::pair<grammar::GrammarKind, std::string_view>::second);
  if (kind == std::end(kGrammarKinds)) {
    fields.fail("kind", "json_schema, regex, gbnf or choice");
  } else {
    spec.kind = kind->first;
  }
  spec.source = fields.text("source");
  for (const Json& choice : fields.array("choices", kWireListMax)) {
    if (!choice.is_string()) {
      fields.fail("choices", "an array of strings");
      break;
    }
    spec.choices.push_back(choice.get<std::string>());
  }
  MARU_TRY_VOID(fields.finish());
  return std::optional(std::move(spec));
}

Json calls_json(const std::optional<CallRule>& calls) {
  if (!calls) return nullptr;
  return {{"n_min", calls->n_min}, {"n_max", calls->n_max}, {"names", calls->names}};
}

Result<std::optional<CallRule>> decode_calls(const Json& value) {
  if (value.is_null()) return std::optional<CallRule>();
  Fields fields(value, "calls");
  CallRule calls;
  calls.n_min = fields.count("n_min", kCallsMax);
  calls.n_max = fields.count("n_max", kCallsMax);
  for (const Json& name : fields.array("names", kToolsMax)) {
    if (!name.is_string()) {
      fields.fail("names", "an array of strings");
      break;
    }
    calls.names.push_back(name.get<std::string>());
  }
  MARU_TRY_VOID(fields.finish());
  return std::optional(std::move(calls));
}

// One put() and one get_() per command; `out` and `fields` already hold type and id.

void put(Json& out, const Hello& hello) { out["version"] = hello.version; }
void put(Json& out, const LoadRequest& load) {
  out["path"] = load.path;
  out["n_threads"] = load.n_threads;
  out["n_ctx"] = load.n_ctx;
  out["isa"] = load.isa;
  out["memory_bytes_max"] = load.memory_bytes_max;
  out["vocab_only"] = load.vocab_only;
  out["guesses"] = load.guesses;
  out["template_path"] = load.template_path;
  out["kv_file_bytes_max"] = load.kv_file_bytes_max;
  out["kv_file_secret_base64"] = encode_base64(load.kv_file_secret);
  out["adapters"] = Json::array();
  for (const AdapterFile& file : load.adapters) {
    out["adapters"].push_back({{"name", file.name}, {"path", file.path}});
  }
}
constexpr std::pair<engine::WorkClass, std::string_view> kWorkClasses[] = {
    {engine::WorkClass::kInteractive, "interactive"},
    {engine::WorkClass::kAgent, "agent"},
    {engine::WorkClass::kBackground, "background"}};

void put(Json& out, const GenerateRequest& request) {
  out["prompt"] = prompt_json(request.prompt);
  out["sampling"] = sampling_json(request.sampling);
  out["stop"] = request.stop;
  out["max_tokens"] = request.max_tokens ? Json(*request.max_tokens) : Json(nullptr);
  out["ignore_eos"] = request.ignore_eos;
  out["echo_prompt_ids"] = request.echo_prompt_ids;
  out["want_progress"] = request.want_progress;
  out["grammar"] = grammar_json(request.grammar);
  out["calls"] = calls_json(request.calls);
  out["cache_salt"] = request.cache_salt;
  out["keep_kv"] = request.keep_kv;
  out["prediction_base64"] = encode_base64(request.prediction);
  out["user"] = request.claim.user;
  out["weight"] = request.claim.weight;
  for (const auto& [work_class, name] : kWorkClasses) {
    if (work_class == request.claim.work_class) out["class"] = name;
  }
  out["now_unix_seconds"] =
      request.now_unix_seconds ? Json(*request.now_unix_seconds) : Json(nullptr);
  out["adapter"] = request.adapter;
}
void put(Json& out, const ScoreRequest& request) {
  out["ids"] = request.ids;
  out["last"] = request.last;
  out["top"] = request.top;
}
void put(Json& out, const EmbedRequest& request) {
  out["prompt"] = prompt_json(request.prompt);
  out["query_base64"] = request.query ? Json(encode_base64(*request.query)) : Json(nullptr);
  out["pooling"] = model::pooling_name(request.pooling);
  out["normalize"] = request.normalize;
  out["want_tokens"] = request.want_tokens;
}
void put(Json& out, const TokenizeRequest& request) {
  out["text_base64"] = encode_base64(request.text);
  out["parse_special"] = request.parse_special;
  out["add_special"] = request.add_special;
}
void put(Json& out, const DetokenizeRequest& request) { out["ids"] = request.ids; }
void put(Json& out, const RenderRequest& request) {
  out["prompt"] = prompt_json(request.prompt);
  out["now_unix_seconds"] =
      request.now_unix_seconds ? Json(*request.now_unix_seconds) : Json(nullptr);
  out["tokens"] = request.tokens;
}
void put(Json&, const StatsRequest&) {}
void put(Json&, const PingRequest&) {}
void put(Json&, const CancelRequest&) {}
void put(Json&, const ReservedRequest&) {}

Prompt get_prompt(Fields& fields) {
  auto prompt = decode_prompt(fields.any("prompt"));
  if (prompt.ok()) return std::move(prompt).value();
  fields.fail(std::move(prompt).error());
  return {};
}

Command get_hello(Fields& fields) {
  return Hello{static_cast<uint32_t>(fields.count("version", UINT32_MAX))};
}
Command get_load(Fields& fields) {
  LoadRequest load;
  load.path = fields.text("path");
  load.n_threads = fields.count("n_threads");
  load.n_ctx = fields.count("n_ctx");
  load.isa = fields.text("isa");
  load.memory_bytes_max = fields.u64("memory_bytes_max");
  load.vocab_only = fields.boolean("vocab_only");
  load.guesses = fields.boolean("guesses");
  load.template_path = fields.text("template_path");
  load.kv_file_bytes_max = fields.u64("kv_file_bytes_max");
  load.kv_file_secret = fields.bytes("kv_file_secret_base64");
  if (load.kv_file_bytes_max > 0 && load.kv_file_secret.size() != kKvSecretBytes) {
    fields.fail("kv_file_secret_base64", fmt::format("{} bytes", kKvSecretBytes));
  }
  for (const Json& value : fields.array("adapters", kAdaptersMax)) {
    Fields adapter(value, "adapters");
    load.adapters.push_back({adapter.text("name"), adapter.text("path")});
    if (auto read = adapter.finish(); !read.ok()) fields.fail(std::move(read).error());
  }
  return load;
}
Command get_generate(Fields& fields) {
  GenerateRequest request;
  request.prompt = get_prompt(fields);
  auto sampling = decode_sampling(fields.any("sampling"));
  if (sampling.ok()) {
    request.sampling = std::move(sampling).value();
  } else {
    fields.fail(std::move(sampling).error());
  }
  for (const Json& stop : fields.array("stop", kWireListMax)) {
    if (!stop.is_string()) {
      fields.fail("stop", "an array of strings");
      break;
    }
    request.stop.push_back(stop.get<std::string>());
  }
  request.max_tokens = fields.optional_count("max_tokens");
  request.ignore_eos = fields.boolean("ignore_eos");
  request.echo_prompt_ids = fields.boolean("echo_prompt_ids");
  request.want_progress = fields.boolean("want_progress");
  auto grammar = decode_grammar(fields.any("grammar"));
  if (grammar.ok()) {
    request.grammar = std::move(grammar).value();
  } else {
    fields.fail(std::move(grammar).error());
  }
  auto calls = decode_calls(fields.any("calls"));
  if (calls.ok()) {
    request.calls = std::move(calls).value();
  } else {
    fields.fail(std::move(calls).error());
  }
  request.cache_salt = fields.text("cache_salt");
  request.keep_kv = fields.boolean("keep_kv");
  request.prediction = fields.bytes("prediction_base64");
  request.claim.user = fields.text("user");
  request.claim.weight = static_cast<uint32_t>(fields.count("weight", UINT32_MAX));
  const std::string wanted = fields.text("class");
  bool is_known = false;
  for (const auto& [work_class, name] : kWorkClasses) {
    if (name != wanted) continue;
    request.claim.work_class = work_class;
    is_known = true;
  }
  if (!is_known) fields.fail("class", "interactive, agent or background");
  request.now_unix_seconds = fields.optional_integer("now_unix_seconds");
  request.adapter = fields.text("adapter");
  return request;
}
Command get_score(Fields& fields) {
  ScoreRequest request;
  request.ids = fields.ids("ids", kWireIdsMax);
  request.last = fields.count("last");
  request.top = fields.count("top");
  return request;
}
Command get_embed(Fields& fields) {
  EmbedRequest request;
  request.prompt = get_prompt(fields);
  request.query = fields.optional_bytes("query_base64");
  const auto pooling = model::pooling_from_name(fields.text("pooling"));
  if (!pooling) fields.fail("pooling", "mean, cls, last or empty");
  request.pooling = pooling.value_or(model::Pooling::kNone);
  request.normalize = fields.boolean("normalize");
  request.want_tokens = fields.boolean("want_tokens");
  return request;
}
Command get_tokenize(Fields& fields) {
  TokenizeRequest request;
  request.text = fields.bytes("text_base64");
  request.parse_special = fields.boolean("parse_special");
  request.add_special = fields.boolean("add_special");
  return request;
}
Command get_detokenize(Fields& fields) { return DetokenizeRequest{fields.ids("ids", kWireIdsMax)}; }
Command get_render(Fields& fields) {
  RenderRequest request;
  auto prompt = decode_prompt(fields.any("prompt"));
  if (!prompt.ok()) {
    fields.fail(std::move(prompt).error());
  } else if (auto* chat = std::get_if<ChatPrompt>(&prompt.value())) {
    request.prompt = std::move(*chat);
  } else {
    fields.fail("prompt.kind", "chat");
  }
  request.now_unix_seconds = fields.optional_integer("now_unix_seconds");
  request.tokens = fields.any("tokens");
  return request;
}

struct CommandType {
  std::string_view name;
  Command (*get)(Fields&);
};
// In the order of Command's alternatives.
constexpr CommandType kTypes[] = {
    {"hello", get_hello},
    {"load", get_load},
    {"generate", get_generate},
    {"score", get_score},
    {"embed", get_embed},
    {"tokenize", get_tokenize},
    {"detokenize", get_detokenize},
    {"render", get_render},
    {"stats", [](Fields&) -> Command { return StatsRequest{}; }},
    {"ping", [](Fields&) -> Command { return PingRequest{}; }},
    {"cancel", [](Fields&) -> Command { return CancelRequest{}; }},
};
static_assert(std::size(kTypes) + 1 == std::variant_size_v<Command>);
constexpr std::string_view kReserved[] = {"rerank", "check_grammar"};

}  // namespace

std::string encode_command(RequestId id, const Command& command) {
  const auto* reserved = std::get_if<ReservedRequest>(&command);
  Json out = {{"type", reserved ? reserved->type : std::string(kTypes[command.index()].name)},
              {"id", id}};
  std::visit([&out](const auto& body) { put(out, body); }, command);
  return dump_json(out);
}

Result<Command> decode_command(const Envelope& envelope) {
  for (const CommandType& type : kTypes) {
    if (type.name != envelope.type) continue;
    Fields fields(envelope.fields, "");
    fields.any("type");
    fields.any("id");
    Command command = type.get(fields);
    MARU_TRY_VOID(fields.finish());
    return command;
  }
  for (const std::string_view reserved : kReserved) {
    if (envelope.type == reserved) return Command(ReservedRequest{envelope.type});
  }
  return Error::corrupt(fmt::format("a command of unknown type \"{:.40}\"", envelope.type));
}

}  // namespace maru::link
