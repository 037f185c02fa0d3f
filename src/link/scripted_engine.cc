#include "link/scripted_engine.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "engine/check_job.h"
#include "engine/stop_matcher.h"
#include "link/host_io.h"

namespace maru::link {
namespace {

constexpr TokenId kFirstPieceId = 256;
constexpr size_t kGenerationsMax = 256;
constexpr size_t kScoreTopMax = 256;

std::string message_text(const Json& message) {
  const auto content = message.is_object() ? message.find("content") : message.end();
  if (!message.is_object() || content == message.end() || content->is_null()) return {};
  return content->is_string() ? content->get<std::string>() : dump_json(*content);
}

std::string chat_text(const ChatPrompt& chat) {
  std::string text;
  for (const Json& message : chat.messages) {
    const auto role = message.is_object() ? message.find("role") : message.end();
    const bool has_role = message.is_object() && role != message.end() && role->is_string();
    text +=
        fmt::format("{}: {}\n", has_role ? role->get<std::string>() : "?", message_text(message));
  }
  if (chat.add_generation_prompt) text += "assistant: ";
  return text;
}

std::vector<TokenId> byte_ids(std::string_view text) {
  std::vector<TokenId> ids;
  ids.reserve(text.size());
  for (const char c : text) ids.push_back(static_cast<uint8_t>(c));
  return ids;
}

class ScriptedEngine {
 public:
  ScriptedEngine(int fd, const Script& script, const ScriptedOptions& options)
      : fd_(fd), script_(script), options_(options), writer_(fd), n_used_(script.replies.size()) {
    for (const ScriptedReply& reply : script.replies) intern(reply.pieces);
  }

  void serve();

 private:
  struct Generation {
    RequestId id;
    GenerateRequest request;
    std::vector<TokenId> prompt_ids;
    ScriptedReply reply;
  };

  void handle(RequestId id, Command& command);
  void start(RequestId id, GenerateRequest& request);
  Result<ScriptedReply> choose(const GenerateRequest& request, const std::string& prompt);
  void generate(const Generation& generation);
  bool stream(const Generation& generation, Usage& usage, Done& done);
  bool strike(const Generation& generation);
  void die();
  bool wait(RequestId id, size_t delay_ms);
  bool hung();
  void score(RequestId id, const ScoreRequest& request);
  Result<void> embed(RequestId id, const EmbedRequest& request);
  Result<std::string> prompt_text(const Prompt& prompt);
  std::vector<TokenId> intern(const std::vector<std::string>& pieces);
  std::string detokenize(const std::vector<TokenId>& ids);
  TokenLogprob logprob_of(TokenId id, const std::string& piece, size_t n_top) const;
  EngineStats stats();

  const int fd_;
  const Script& script_;
  const ScriptedOptions& options_;
  HostWriter writer_;
  std::map<RequestId, std::jthread> threads_;  // of the reading thread alone
  std::mutex mutex_;                           // guards what follows
  std::condition_variable changed_;
  bool closing_ = false;
  bool hung_ = false;
  std::vector<size_t> n_used_;  // per reply
  std::map<std::string, TokenId> piece_ids_;
  std::vector<std::string> pieces_;  // pieces_[i] has the id kFirstPieceId + i
  std::set<RequestId> running_;
  std::set<RequestId> cancelled_;
  std::vector<RequestId> ended_;  // threads that may be joined
  uint64_t n_running_peak_ = 0;
  EngineStats totals_;
};

void ScriptedEngine::serve() {
  const auto load = accept_load(fd_, writer_);
  if (!load) return;
  if (!script_.load_error.empty()) {
    writer_.write(load->id, Failed{Error::invalid(script_.load_error)});
    return;
  }
  for (size_t i = 1; i <= script_.n_loading; ++i) {
    writer_.write(load->id, Loading{i, script_.n_loading});
  }
  ModelCard card = script_.card;
  if (load->load.n_ctx != 0) card.n_ctx = load->load.n_ctx;
  for (const AdapterFile& adapter : load->load.adapters) {
    card.adapters.push_back({adapter.name, "scripted"});
  }
  writer_.write(load->id, card);
  while (auto incoming = next_command(fd_, writer_)) {
    if (!hung()) handle(incoming->id, incoming->command);
  }
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  threads_.clear();
}

void ScriptedEngine::handle(RequestId id, Command& command) {
  if (auto* generate = std::get_if<GenerateRequest>(&command)) {
    start(id, *generate);
  } else if (std::holds_alternative<CancelRequest>(command)) {
    {
      const std::lock_guard lock(mutex_);
      if (running_.contains(id)) cancelled_.insert(id);
    }
    changed_.notify_all();
  } else if (auto* score_request = std::get_if<ScoreRequest>(&command)) {
    score(id, *score_request);
  } else if (auto* embed_request = std::get_if<EmbedRequest>(&command)) {
    const auto embedded = embed(id, *embed_request);
    if (!embedded.ok()) writer_.write(id, Failed{embedded.error()});
  } else if (auto* tokenize = std::get_if<TokenizeRequest>(&command)) {
    writer_.write(id, TokenIds{byte_ids(tokenize->text)});
  } else if (auto* detokenize_request = std::get_if<DetokenizeRequest>(&command)) {
    writer_.write(id, Bytes{detokenize(detokenize_request->ids)});
  } else if (auto* render = std::get_if<RenderRequest>(&command)) {
    writer_.write(id, Bytes{chat_text(render->prompt)});
  } else if (std::holds_alternative<StatsRequest>(command)) {
    writer_.write(id, stats());
  } else if (std::holds_alternative<PingRequest>(command)) {
    writer_.write(id, Pong{stats().n_tokens_generated});
  } else {
    writer_.write(id, Failed{Error::unsupported("the scripted engine does not serve this")});
  }
}

Result<std::string> ScriptedEngine::prompt_text(const Prompt& prompt) {
  if (const auto* text = std::get_if<TextPrompt>(&prompt)) return text->text;
  if (const auto* tokens = std::get_if<TokensPrompt>(&prompt)) return detokenize(tokens->ids);
  if (!script_.card.has_chat_template) return no_chat_template_error();
  return chat_text(std::get<ChatPrompt>(prompt));
}

Result<ScriptedReply> ScriptedEngine::choose(const GenerateRequest& request,
                                             const std::string& prompt) {
  for (size_t i = 0; i < script_.replies.size(); ++i) {
    const ScriptedReply& reply = script_.replies[i];
    if (prompt.find(reply.match) == std::string::npos) continue;
    const std::lock_guard lock(mutex_);
    if (reply.times != 0 && n_used_[i] >= reply.times) continue;
    ++n_used_[i];
    return reply;
  }
  if (!script_.echo) return Error::internal("the script has no reply for this prompt");
  const auto* chat = std::get_if<ChatPrompt>(&request.prompt);
  const bool has_message = chat != nullptr && !chat->messages.empty();
  ScriptedReply reply;
  reply.pieces = {has_message ? message_text(chat->messages.back()) : prompt};
  intern(reply.pieces);
  return reply;
}

void ScriptedEngine::start(RequestId id, GenerateRequest& request) {
  if (!script_.card.generates) return writer_.write(id, Failed{makes_no_text_error()});
  auto prompt = prompt_text(request.prompt);
  if (!prompt.ok()) return writer_.write(id, Failed{prompt.error()});
  Result<void> checked = engine::check_sampling(request.sampling, script_.card.n_vocab);
  if (checked.ok()) checked = engine::check_stop(request.stop);
  if (checked.ok())
    checked = engine::check_context(prompt->size(), request.max_tokens, script_.card.n_ctx);
  if (!checked.ok()) return writer_.write(id, Failed{checked.error()});
  if (request.grammar) {  // refused as the real one does; the script says what is answered
    auto compiled = grammar::compile(*request.grammar);
    if (!compiled.ok()) {
      Error error = std::move(compiled).error();
      error.param = kGrammarParam;
      return writer_.write(id, Failed{std::move(error)});
    }
  }
  auto reply = choose(request, *prompt);
  if (!reply.ok()) return writer_.write(id, Failed{reply.error()});
  std::vector<RequestId> ended;
  {
    const std::lock_guard lock(mutex_);
    ended.swap(ended_);
  }
  for (const RequestId each : ended) threads_.erase(each);
  if (threads_.size() >= kGenerationsMax) {
    return writer_.write(id, Failed{Error::exhausted("too many generations at once")});
  }
  {
    const std::lock_guard lock(mutex_);
    running_.insert(id);
    n_running_peak_ = std::max<uint64_t>(n_running_peak_, running_.size());
    totals_.n_tokens_prompt += prompt->size();
  }
  changed_.notify_all();
  Generation generation{id, std::move(request), byte_ids(*prompt), std::move(reply).value()};
  threads_[id] = std::jthread([this, generation = std::move(generation)] {
    generate(generation);
    const std::lock_guard lock(mutex_);
    ended_.push_back(generation.id);
  });
}

// Waits, unless the generation was cancelled or the client is gone: false then.
bool ScriptedEngine::wait(RequestId id, size_t delay_ms) {
  std::unique_lock lock(mutex_);
  const auto stopped = [&] { return closing_ || cancelled_.contains(id); };
  return !changed_.wait_for(lock, std::chrono::milliseconds(delay_ms), stopped);
}

void ScriptedEngine::generate(const Generation& generation) {
  const int64_t begin_ns = options_.clock->monotonic_ns();
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] {
      return closing_ || cancelled_.contains(generation.id) ||
             n_running_peak_ >= generation.reply.start_when_running;
    });
  }
  Started started{.n_prompt = generation.prompt_ids.size(), .prompt_ids = {}};
  if (generation.request.echo_prompt_ids) started.prompt_ids = generation.prompt_ids;
  writer_.write(generation.id, started);
  Done done;
  Usage usage;
  usage.n_prompt = generation.prompt_ids.size();
  if (!stream(generation, usage, done)) return;
  usage.generate_seconds = static_cast<double>(options_.clock->monotonic_ns() - begin_ns) / 1e9;
  done.usage = usage;
  {
    const std::lock_guard lock(mutex_);
    running_.erase(generation.id);
    if (done.reason == FinishReason::kCancelled) ++totals_.n_cancelled;
    cancelled_.erase(generation.id);
    totals_.n_tokens_generated += usage.n_generated;
  }
  writer_.write(generation.id, done);
}

// The fault of a reply, when its time has come. True where the generation is over by it.
bool ScriptedEngine::strike(const Generation& generation) {
  switch (generation.reply.fault) {
    case ScriptFault::kNone:
      return false;
    case ScriptFault::kError: {
      {
        const std::lock_guard lock(mutex_);
        running_.erase(generation.id);
      }
      writer_.write(generation.id, Failed{Error::internal(generation.reply.error)});
      return true;
    }
    case ScriptFault::kDie:
      die();
      return true;
    case ScriptFault::kStall: {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return closing_ || cancelled_.contains(generation.id); });
      return false;
    }
    case ScriptFault::kHang: {
      std::unique_lock lock(mutex_);
      hung_ = true;
      changed_.wait(lock, [&] { return closing_; });
      return true;
    }
  }
  return false;
}

void ScriptedEngine::die() {
  if (options_.die_by_signal) ::kill(::getpid(), SIGKILL);
  ::shutdown(fd_, SHUT_RDWR);
}

bool ScriptedEngine::hung() {
  const std::lock_guard lock(mutex_);
  return hung_;
}

// Sends the pieces; false where nothing is to be sent after it.
bool ScriptedEngine::stream(const Generation& generation, Usage& usage, Done& done) {
  const ScriptedReply& reply = generation.reply;
  const engine::SamplingParams& sampling = generation.request.sampling;
  const std::vector<TokenId> ids = intern(reply.pieces);
  engine::StopMatcher matcher(generation.request.stop);
  done.reason = reply.finish;
  for (size_t i = 0; i <= reply.pieces.size(); ++i) {
    if (i == std::min(reply.fault_after, reply.pieces.size()) && strike(generation)) return false;
    if (!wait(generation.id, i < reply.pieces.size() ? reply.delay_ms : 0)) {
      done.reason = FinishReason::kCancelled;
      return true;
    }
    if (i == reply.pieces.size()) break;
    if (generation.request.max_tokens && i >= *generation.request.max_tokens) {
      done.reason = FinishReason::kLength;
      break;
    }
    Delta delta;
    delta.ids = {ids[i]};
    if (sampling.want_logprobs) {
      delta.logprobs = {logprob_of(ids[i], reply.pieces[i], sampling.n_logprobs)};
    }
    matcher.feed(reply.pieces[i], delta.text);
    ++usage.n_generated;
    writer_.write(generation.id, delta);
    if (matcher.found()) {
      done.reason = FinishReason::kStop;
      done.stop = generation.request.stop[*matcher.found()];
      return true;
    }
  }
  Delta rest;
  matcher.finish(rest.text);
  if (!rest.text.empty()) writer_.write(generation.id, rest);
  return true;
}

TokenLogprob ScriptedEngine::logprob_of(TokenId id, const std::string& piece, size_t n_top) const {
  TokenLogprob logprob{{id, -0.5f, piece}, {}};
  for (size_t i = 0; i < n_top; ++i) {
    const auto other = static_cast<char>('a' + i);
    logprob.top.push_back(i == 0 ? logprob.chosen
                                 : Candidate{other, -1.0f - static_cast<float>(i), {other}});
  }
  return logprob;
}

void ScriptedEngine::score(RequestId id, const ScoreRequest& request) {
  const double nll = std::log(static_cast<double>(script_.card.n_vocab));
  if (request.ids.empty()) return writer_.write(id, Failed{Error::invalid("ids is empty", "ids")});
  const size_t n_rows =
      request.last == 0 ? request.ids.size() : std::min(request.last, request.ids.size());
  engine::ScoreRow row;
  for (size_t i = 0; i < std::min(request.top, kScoreTopMax); ++i) {
    row.top.emplace_back(static_cast<TokenId>(i), static_cast<float>(-nll));
  }
  for (size_t i = 0; i < n_rows; ++i) writer_.write(id, row);
  writer_.write(id, engine::ScoreDone{std::vector<double>(request.ids.size() - 1, nll)});
}

Result<void> ScriptedEngine::embed(RequestId id, const EmbedRequest& request) {
  MARU_TRY(prompt, prompt_text(request.prompt));
  for (const ScriptedReply& reply : script_.replies) {
    if (reply.fault == ScriptFault::kDie && prompt.find(reply.match) != std::string::npos) die();
  }
  const engine::EmbedJob job{.ids = byte_ids(prompt)};
  MARU_TRY_VOID(engine::check_job(job, script_.card.n_vocab, script_.card.n_ctx));
  const size_t d_model = script_.card.d_model;
  std::vector<float> rows(job.ids.size() * d_model);
  for (size_t i = 0; i < job.ids.size(); ++i) {
    const auto row = rows.begin() + static_cast<ptrdiff_t>(i * d_model);
    row[job.ids[i] % static_cast<TokenId>(d_model)] = 1;
    if (request.want_tokens) writer_.write(id, engine::EmbedRow{{row, row + d_model}});
  }
  model::Pooling pooling = request.pooling;
  if (pooling == model::Pooling::kNone) pooling = *model::pooling_from_name(script_.card.pooling);
  if (pooling == model::Pooling::kNone) return Error::invalid("no pooling", "pooling");
  engine::EmbedDone done{.values = std::vector<float>(d_model), .n_prompt = job.ids.size()};
  model::pool_rows(pooling, rows, done.values);
  if (request.normalize) model::normalize(done.values);
  writer_.write(id, done);
  return {};
}

std::vector<TokenId> ScriptedEngine::intern(const std::vector<std::string>& pieces) {
  const std::lock_guard lock(mutex_);
  std::vector<TokenId> ids;
  for (const std::string& piece : pieces) {
    const auto next = kFirstPieceId + static_cast<TokenId>(pieces_.size());
    const auto [found, added] = piece_ids_.emplace(piece, next);
    if (added) pieces_.push_back(piece);
    ids.push_back(found->second);
  }
  return ids;
}

std::string ScriptedEngine::detokenize(const std::vector<TokenId>& ids) {
  const std::lock_guard lock(mutex_);
  std::string bytes;
  for (const TokenId id : ids) {
    const auto piece = static_cast<size_t>(id - kFirstPieceId);
    if (id >= 0 && id < kFirstPieceId) bytes.push_back(static_cast<char>(id));
    if (id >= kFirstPieceId && piece < pieces_.size()) bytes += pieces_[piece];
  }
  return bytes;
}

EngineStats ScriptedEngine::stats() {
  const std::lock_guard lock(mutex_);
  EngineStats stats = totals_;
  stats.n_running = running_.size();
  return stats;
}

}  // namespace

void serve_scripted(int fd, const Script& script, const ScriptedOptions& options) {
  CHECK(options.clock != nullptr);
  ScriptedEngine(fd, script, options).serve();
}

}  // namespace maru::link
