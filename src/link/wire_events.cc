// link/wire_events.cc - the events of the engine protocol: what the engine answers.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/base64.h"
#include "link/fields.h"
#include "link/wire.h"

namespace maru::link {
namespace {

static_assert(std::endian::native == std::endian::little, "packed fields are little-endian");

constexpr size_t kPairBytes = 8;  // i32 id, f32 log-probability

std::string_view reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "stop";
}

Json candidate_json(const Candidate& candidate) {
  // JSON has no infinity.
  const float logprob = std::max(candidate.logprob, std::numeric_limits<float>::lowest());
  return Json::array({candidate.id, logprob, encode_base64(candidate.bytes)});
}

Result<Candidate> decode_candidate(const Json& value) {
  const Error wrong = Error::invalid("a logprobs entry must be [id, number, base64]", "logprobs");
  if (!value.is_array() || value.size() != 3) return wrong;
  if (!is_int32(value[0]) || !value[1].is_number() || !value[2].is_string()) return wrong;
  auto bytes = decode_base64(value[2].get_ref<const std::string&>());
  if (!bytes.ok()) return wrong;
  return Candidate{value[0].get<TokenId>(), value[1].get<float>(), std::move(bytes).value()};
}

Result<TokenLogprob> decode_logprob(const Json& value) {
  Fields fields(value, "logprobs");
  TokenLogprob logprob;
  MARU_TRY(chosen, decode_candidate(fields.any("chosen")));
  logprob.chosen = std::move(chosen);
  for (const Json& top : fields.array("top", engine::kLogprobsMax)) {
    MARU_TRY(candidate, decode_candidate(top));
    logprob.top.push_back(std::move(candidate));
  }
  MARU_TRY_VOID(fields.finish());
  return logprob;
}

template <class T>
void append_bytes(std::string& out, T value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof value);
}

template <class T>
T load_bytes(const std::string& bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

template <class T>
std::string pack(const std::vector<T>& values) {
  std::string packed;
  packed.reserve(values.size() * sizeof(T));
  for (const T value : values) append_bytes(packed, value);
  return packed;
}

// Values that pack() wrote.
template <class T>
std::vector<T> unpack(Fields& fields, std::string_view name) {
  const std::string packed = fields.bytes(name);
  if (packed.size() % sizeof(T) != 0)
    fields.fail(name, fmt::format("{} bytes per value", sizeof(T)));
  std::vector<T> values;
  values.reserve(packed.size() / sizeof(T));
  for (size_t i = 0; i + sizeof(T) <= packed.size(); i += sizeof(T)) {
    values.push_back(load_bytes<T>(packed, i));
  }
  return values;
}

void put(Json& out, const Hello& hello) { out["version"] = hello.version; }
void put(Json& out, const ModelCard& card) {
  out["architecture"] = card.architecture;
  out["name"] = card.name;
  out["isa"] = card.isa;
  out["sandbox"] = card.sandbox;
  out["n_ctx"] = card.n_ctx;
  out["n_ctx_train"] = card.n_ctx_train;
  out["n_vocab"] = card.n_vocab;
  out["d_model"] = card.d_model;
  out["n_params"] = card.n_params;
  out["weight_bytes"] = card.weight_bytes;
  out["cache_bytes_max"] = card.cache_bytes_max;
  out["bytes_per_token"] = card.bytes_per_token;
  out["macs_per_token"] = card.macs_per_token;
  out["has_chat_template"] = card.has_chat_template;
  out["template_sha256"] = card.template_sha256;
  out["generates"] = card.generates;
  out["pooling"] = card.pooling;
  out["call_format"] = card.call_format;
  out["reasoning_format"] = card.reasoning_format;
  out["adapters"] = Json::array();
  for (const AdapterCard& adapter : card.adapters) {
    out["adapters"].push_back({{"name", adapter.name}, {"sha256", adapter.sha256}});
  }
  out["load_seconds"] = card.load_seconds;
}
void put(Json& out, const Started& started) {
  out["n_prompt"] = started.n_prompt;
  out["prompt_ids"] = started.prompt_ids;
  out["in_reasoning"] = started.in_reasoning;
}
void put(Json& out, const Progress& progress) {
  out["n_evaluated"] = progress.n_evaluated;
  out["n_cached"] = progress.n_cached;
  out["n_prompt"] = progress.n_prompt;
  out["seconds"] = progress.seconds;
}
void put(Json& out, const Delta& delta) {
  out["text"] = delta.text;
  out["ids"] = delta.ids;
  Json logprobs = Json::array();
  for (const TokenLogprob& logprob : delta.logprobs) {
    Json top = Json::array();
    for (const Candidate& candidate : logprob.top) top.push_back(candidate_json(candidate));
    logprobs.push_back({{"chosen", candidate_json(logprob.chosen)}, {"top", std::move(top)}});
  }
  out["logprobs"] = std::move(logprobs);
}
void put(Json& out, const Done& done) {
  out["reason"] = reason_name(done.reason);
  out["stop"] = done.stop;
  out["usage"] = {{"n_prompt", done.usage.n_prompt},
                  {"n_cached", done.usage.n_cached},
                  {"n_generated", done.usage.n_generated},
                  {"n_predicted_right", done.usage.n_predicted_right},
                  {"n_predicted_wrong", done.usage.n_predicted_wrong},
                  {"queue_seconds", done.usage.queue_seconds},
                  {"prompt_seconds", done.usage.prompt_seconds},
                  {"generate_seconds", done.usage.generate_seconds}};
}
void put(Json& out, const Failed& failed) {
  out["error"] = {{"code", error_code_name(failed.error.code)},
                  {"message", failed.error.message},
                  {"param", failed.error.param}};
  out["retry_after_seconds"] = failed.retry_after_seconds;
}
void put(Json& out, const engine::ScoreRow& row) {
  std::string packed;
  packed.reserve(row.top.size() * kPairBytes);
  for (const auto& [id, logprob] : row.top) {
    append_bytes(packed, id);
    append_bytes(packed, logprob);
  }
  out["top_base64"] = encode_base64(packed);
}
void put(Json& out, const engine::ScoreDone& done) {
  out["nlls_base64"] = encode_base64(pack(done.nlls));
}
void put(Json& out, const engine::EmbedRow& row) {
  out["values_base64"] = encode_base64(pack(row.values));
}
void put(Json& out, const engine::EmbedDone& done) {
  out["values_base64"] = encode_base64(pack(done.values));
  out["n_prompt"] = done.n_prompt;
}
void put(Json& out, const TokenIds& tokens) { out["ids"] = tokens.ids; }
void put(Json& out, const Bytes& bytes) { out["bytes_base64"] = encode_base64(bytes.bytes); }
void put(Json& out, const EngineStats& stats) {
  out["n_running"] = stats.n_running;
  out["n_waiting"] = stats.n_waiting;
  out["n_kv_blocks"] = stats.n_kv_blocks;
  out["n_kv_blocks_free"] = stats.n_kv_blocks_free;
  out["n_tokens_prompt"] = stats.n_tokens_prompt;
  out["n_tokens_cached"] = stats.n_tokens_cached;
  out["n_tokens_generated"] = stats.n_tokens_generated;
  out["n_tokens_guessed"] = stats.n_tokens_guessed;
  out["n_guesses_right"] = stats.n_guesses_right;
  out["n_cancelled"] = stats.n_cancelled;
  out["n_refused"] = stats.n_refused;
  out["n_stepped_back"] = stats.n_stepped_back;
  out["n_blocks_saved"] = stats.n_blocks_saved;
  out["n_blocks_brought_back"] = stats.n_blocks_brought_back;
  out["n_steps"] = stats.n_steps;
  out["n_step_tokens"] = stats.n_step_tokens;
  out["n_step_sequences"] = stats.n_step_sequences;
}
void put(Json& out, const Loading& loading) {
  out["n_bytes"] = loading.n_bytes;
  out["n_bytes_total"] = loading.n_bytes_total;
}
void put(Json& out, const Pong& pong) { out["n_work"] = pong.n_work; }

EventBody get_hello(Fields& fields) {
  return Hello{static_cast<uint32_t>(fields.count("version", UINT32_MAX))};
}
EventBody get_card(Fields& fields) {
  ModelCard card;
  card.architecture = fields.text("architecture");
  card.name = fields.text("name");
  card.isa = fields.text("isa");
  card.sandbox = fields.text("sandbox");
  card.n_ctx = fields.count("n_ctx");
  card.n_ctx_train = fields.count("n_ctx_train");
  card.n_vocab = fields.count("n_vocab");
  card.d_model = fields.count("d_model");
  card.n_params = fields.u64("n_params");
  card.weight_bytes = fields.u64("weight_bytes");
  card.cache_bytes_max = fields.u64("cache_bytes_max");
  card.bytes_per_token = fields.u64("bytes_per_token");
  card.macs_per_token = fields.u64("macs_per_token");
  card.has_chat_template = fields.boolean("has_chat_template");
  card.template_sha256 = fields.text("template_sha256");
  card.generates = fields.boolean("generates");
  card.pooling = fields.text("pooling");
  card.call_format = fields.text("call_format");
  card.reasoning_format = fields.text("reasoning_format");
  for (const Json& value : fields.array("adapters", kAdaptersMax)) {
    Fields adapter(value, "adapters");
    card.adapters.push_back({adapter.text("name"), adapter.text("sha256")});
    if (auto read = adapter.finish(); !read.ok()) fields.fail(std::move(read).error());
  }
  card.load_seconds = fields.number("load_seconds");
  return card;
}
EventBody get_started(Fields& fields) {
  Started started;
  started.n_prompt = fields.count("n_prompt");
  started.prompt_ids = fields.ids("prompt_ids", kWireIdsMax);
  started.in_reasoning = fields.boolean("in_reasoning");
  return started;
}
EventBody get_progress(Fields& fields) {
  Progress progress;
  progress.n_evaluated = fields.count("n_evaluated");
  progress.n_cached = fields.count("n_cached");
  progress.n_prompt = fields.count("n_prompt");
  progress.seconds = fields.number("seconds");
  return progress;
}
EventBody get_delta(Fields& fields) {
  Delta delta;
  delta.text = fields.text("text");
  delta.ids = fields.ids("ids", kWireIdsMax);
  for (const Json& value : fields.array("logprobs", kWireIdsMax)) {
    auto logprob = decode_logprob(value);
    if (!logprob.ok()) {
      fields.fail(std::move(logprob).error());
      break;
    }
    delta.logprobs.push_back(std::move(logprob).value());
  }
  return delta;
}
EventBody get_done(Fields& fields) {
  Done done;
  const std::string reason = fields.text("reason");
  bool known = false;
  for (const auto each : {FinishReason::kStop, FinishReason::kLength, FinishReason::kCancelled}) {
    if (reason_name(each) != reason) continue;
    done.reason = each;
    known = true;
  }
  if (!known) fields.fail("reason", "stop, length or cancelled");
  done.stop = fields.text("stop");
  Fields usage(fields.object("usage"), "usage");
  done.usage.n_prompt = usage.count("n_prompt");
  done.usage.n_cached = usage.count("n_cached");
  done.usage.n_generated = usage.count("n_generated");
  done.usage.n_predicted_right = usage.count("n_predicted_right");
  done.usage.n_predicted_wrong = usage.count("n_predicted_wrong");
  done.usage.queue_seconds = usage.number("queue_seconds");
  done.usage.prompt_seconds = usage.number("prompt_seconds");
  done.usage.generate_seconds = usage.number("generate_seconds");
  if (auto finished = usage.finish(); !finished.ok()) fields.fail(std::move(finished).error());
  return done;
}
EventBody get_failed(Fields& fields) {
  Failed failed{Error::internal("")};
  Fields error(fields.object("error"), "error");
  const auto code = error_code_from_name(error.text("code"));
  if (!code) error.fail("code", "one of the known error codes");
  failed.error.code = code.value_or(ErrorCode::kInternal);
  failed.error.message = error.text("message");
  failed.error.param = error.text("param");
  if (auto finished = error.finish(); !finished.ok()) fields.fail(std::move(finished).error());
  failed.retry_after_seconds = fields.number("retry_after_seconds");
  return failed;
}
EventBody get_score_row(Fields& fields) {
  engine::ScoreRow row;
  const std::string packed = fields.bytes("top_base64");
  if (packed.size() % kPairBytes != 0) fields.fail("top_base64", "8 bytes per token");
  row.top.reserve(packed.size() / kPairBytes);
  for (size_t i = 0; i + kPairBytes <= packed.size(); i += kPairBytes) {
    row.top.emplace_back(load_bytes<TokenId>(packed, i), load_bytes<float>(packed, i + 4));
  }
  return row;
}
EventBody get_score_done(Fields& fields) {
  return engine::ScoreDone{unpack<double>(fields, "nlls_base64")};
}
EventBody get_embed_row(Fields& fields) {
  return engine::EmbedRow{unpack<float>(fields, "values_base64")};
}
EventBody get_embed_done(Fields& fields) {
  engine::EmbedDone done;
  done.values = unpack<float>(fields, "values_base64");
  done.n_prompt = fields.count("n_prompt");
  return done;
}
EventBody get_ids(Fields& fields) { return TokenIds{fields.ids("ids", kWireIdsMax)}; }
EventBody get_bytes(Fields& fields) { return Bytes{fields.bytes("bytes_base64")}; }
EventBody get_stats(Fields& fields) {
  EngineStats stats;
  stats.n_running = fields.count("n_running");
  stats.n_waiting = fields.count("n_waiting");
  stats.n_kv_blocks = fields.count("n_kv_blocks");
  stats.n_kv_blocks_free = fields.count("n_kv_blocks_free");
  stats.n_tokens_prompt = fields.u64("n_tokens_prompt");
  stats.n_tokens_cached = fields.u64("n_tokens_cached");
  stats.n_tokens_generated = fields.u64("n_tokens_generated");
  stats.n_tokens_guessed = fields.u64("n_tokens_guessed");
  stats.n_guesses_right = fields.u64("n_guesses_right");
  stats.n_cancelled = fields.u64("n_cancelled");
  stats.n_refused = fields.u64("n_refused");
  stats.n_stepped_back = fields.u64("n_stepped_back");
  stats.n_blocks_saved = fields.u64("n_blocks_saved");
  stats.n_blocks_brought_back = fields.u64("n_blocks_brought_back");
  stats.n_steps = fields.u64("n_steps");
  stats.n_step_tokens = fields.u64("n_step_tokens");
  stats.n_step_sequences = fields.u64("n_step_sequences");
  return stats;
}
EventBody get_pong(Fields& fields) { return Pong{fields.u64("n_work")}; }
EventBody get_loading(Fields& fields) {
  return Loading{fields.u64("n_bytes"), fields.u64("n_bytes_total")};
}

struct EventType {
  std::string_view name;
  EventBody (*get)(Fields&);
};
// In the order of EventBody's alternatives.
constexpr EventType kTypes[] = {
    {"hello", get_hello},           {"card", get_card},
    {"started", get_started},       {"progress", get_progress},
    {"delta", get_delta},           {"done", get_done},
    {"failed", get_failed},         {"score_row", get_score_row},
    {"score_done", get_score_done}, {"embed_row", get_embed_row},
    {"embed_done", get_embed_done}, {"ids", get_ids},
    {"bytes", get_bytes},           {"stats", get_stats},
    {"loading", get_loading},       {"pong", get_pong},
};
static_assert(std::size(kTypes) == std::variant_size_v<EventBody>);

}  // namespace

std::string encode_event(RequestId id, const EventBody& event) {
  Json out = {{"type", kTypes[event.index()].name}, {"id", id}};
  std::visit([&out](const auto& body) { put(out, body); }, event);
  return dump_json(out);
}

Result<EventBody> decode_event(const Envelope& envelope) {
  for (const EventType& type : kTypes) {
    if (type.name != envelope.type) continue;
    Fields fields(envelope.fields, "");
    fields.any("type");
    fields.any("id");
    EventBody event = type.get(fields);
    MARU_TRY_VOID(fields.finish());
    return event;
  }
  return Error::corrupt(fmt::format("an event of unknown type \"{:.40}\"", envelope.type));
}

}  // namespace maru::link
