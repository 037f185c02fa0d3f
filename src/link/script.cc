// link/script.cc - parse_script(): the JSON of a scripted engine.
#include <fmt/format.h>

#include "link/fields.h"
#include "link/scripted_engine.h"

namespace maru::link {
namespace {

constexpr size_t kRepliesMax = 10'000;
constexpr size_t kLoadingMax = 1'000;
constexpr size_t kPiecesMax = 1'000'000;
constexpr size_t kVectorMax = 65'536;

// `given` laid over the defaults, so that what follows may ask for every field.
Json with_defaults(Json defaults, const Json& given) {
  if (!given.is_object()) return given;
  for (const auto& [name, value] : given.items()) defaults[name] = value;
  return defaults;
}

std::vector<std::string> split_after_spaces(std::string_view text) {
  std::vector<std::string> pieces;
  while (!text.empty()) {
    const size_t space = text.find(' ');
    const size_t n = space == std::string_view::npos ? text.size() : space + 1;
    pieces.emplace_back(text.substr(0, n));
    text.remove_prefix(n);
  }
  return pieces;
}

Result<ModelCard> parse_card(const Json& given) {
  const Json json = with_defaults({{"architecture", "scripted"},
                                   {"name", "scripted"},
                                   {"n_ctx", 4096},
                                   {"n_ctx_train", 4096},
                                   {"n_vocab", 1'000'000},
                                   {"has_chat_template", true},
                                   {"d_model", 8},
                                   {"generates", true},
                                   {"pooling", "mean"},
                                   {"call_format", ""},
                                   {"reasoning_format", ""}},
                                  given);
  Fields fields(json, "card");
  ModelCard card;
  card.architecture = fields.text("architecture");
  card.name = fields.text("name");
  card.n_ctx = fields.count("n_ctx");
  card.n_ctx_train = fields.count("n_ctx_train");
  card.n_vocab = fields.count("n_vocab");
  card.has_chat_template = fields.boolean("has_chat_template");
  card.d_model = fields.count("d_model", kVectorMax);
  if (card.d_model == 0) fields.fail("d_model", "at least 1");
  card.generates = fields.boolean("generates");
  card.pooling = fields.text("pooling");
  if (!model::pooling_from_name(card.pooling)) fields.fail("pooling", "mean, cls, last or empty");
  card.call_format = fields.text("call_format");
  card.reasoning_format = fields.text("reasoning_format");
  card.isa = "none";
  card.sandbox = "none";
  if (card.n_vocab < 257) fields.fail("n_vocab", "at least 257");
  MARU_TRY_VOID(fields.finish());
  return card;
}

Result<ScriptFault> parse_fault(const std::string& name) {
  if (name == "none") return ScriptFault::kNone;
  if (name == "error") return ScriptFault::kError;
  if (name == "die") return ScriptFault::kDie;
  if (name == "stall") return ScriptFault::kStall;
  if (name == "hang") return ScriptFault::kHang;
  return Error::invalid("fault must be none, error, die, stall or hang", "fault");
}

Result<ScriptedReply> parse_reply(const Json& given) {
  const Json json = with_defaults({{"match", ""},
                                   {"times", 0},
                                   {"text", ""},
                                   {"pieces", Json::array()},
                                   {"finish", "stop"},
                                   {"fault", "none"},
                                   {"fault_after", 0},
                                   {"error", "scripted error"},
                                   {"delay_ms", 0},
                                   {"start_when_running", 0}},
                                  given);
  Fields fields(json, "replies[]");
  ScriptedReply reply;
  reply.match = fields.text("match");
  reply.times = fields.count("times");
  reply.pieces = split_after_spaces(fields.text("text"));
  for (const Json& piece : fields.array("pieces", kPiecesMax)) {
    if (piece.is_string()) {
      reply.pieces.push_back(piece.get<std::string>());
    } else {
      fields.fail("pieces", "an array of strings");
    }
  }
  const std::string finish = fields.text("finish");
  if (finish != "stop" && finish != "length") fields.fail("finish", "stop or length");
  reply.finish = finish == "length" ? FinishReason::kLength : FinishReason::kStop;
  auto fault = parse_fault(fields.text("fault"));
  if (!fault.ok()) fields.fail(fault.error());
  reply.fault = fault.ok() ? *fault : ScriptFault::kNone;
  reply.fault_after = fields.count("fault_after");
  reply.error = fields.text("error");
  reply.delay_ms = fields.count("delay_ms", 600'000);
  reply.start_when_running = fields.count("start_when_running");
  MARU_TRY_VOID(fields.finish());
  return reply;
}

}  // namespace

Result<Script> parse_script(std::string_view text) {
  MARU_TRY(given, parse_json(text));
  const Json json = with_defaults({{"card", Json::object()},
                                   {"load_error", ""},
                                   {"n_loading", 0},
                                   {"echo", false},
                                   {"replies", Json::array()}},
                                  given);
  Fields fields(json, "");
  Script script;
  const Json& card_json = fields.any("card");
  script.load_error = fields.text("load_error");
  script.n_loading = fields.count("n_loading", kLoadingMax);
  script.echo = fields.boolean("echo");
  const Json& replies = fields.array("replies", kRepliesMax);
  MARU_TRY_VOID(fields.finish());
  MARU_TRY(card, parse_card(card_json));
  script.card = std::move(card);
  for (const Json& each : replies) {
    MARU_TRY(reply, parse_reply(each));
    script.replies.push_back(std::move(reply));
  }
  return script;
}

}  // namespace maru::link
