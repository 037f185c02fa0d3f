#include "link/engine_host.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "base/log.h"
#include "engine/embedder.h"
#include "link/answer_grammar.h"
#include "link/grammar_cache.h"
#include "link/harden.h"
#include "link/host_io.h"
#include "text/continue_message.h"

namespace maru::link {
namespace {

// Commands on their way to the engine thread; more are refused.
constexpr size_t kMailboxMax = 4096;

struct Letter {
  RequestId id = 0;
  std::variant<engine::GenerateJob, engine::ScoreJob, engine::EmbedJob, StatsRequest, CancelRequest>
      body;
};

// What a model can do, each null where it cannot.
struct Engines {
  std::unique_ptr<engine::Engine> text;
  std::unique_ptr<engine::Embedder> embedder;
};

// They and their thread.
class EngineThread {
 public:
  EngineThread(Engines engines, HostWriter& writer)
      : engines_(std::move(engines)), writer_(writer), thread_([this] { run(); }) {}

  ~EngineThread() {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }

  void post(Letter letter) {
    {
      const std::lock_guard lock(mutex_);
      const bool is_cancel = std::holds_alternative<CancelRequest>(letter.body);
      if (mailbox_.size() < kMailboxMax || is_cancel) {
        mailbox_.push_back(std::move(letter));
        changed_.notify_one();
        return;
      }
    }
    writer_.write(letter.id, Failed{Error::exhausted("too many requests for this model at once")});
  }

 private:
  void run() {
    bool busy = false;
    std::vector<Letter> letters;
    while (true) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return busy || closing_ || !mailbox_.empty(); });
        if (closing_) return;
        letters.swap(mailbox_);
      }
      for (Letter& letter : letters) open(letter);
      letters.clear();
      busy = engines_.text != nullptr && engines_.text->step();
      if (engines_.embedder != nullptr && engines_.embedder->step()) busy = true;
    }
  }

  void open(Letter& letter) {
    if (auto* generate = std::get_if<engine::GenerateJob>(&letter.body)) {
      engines_.text->submit(letter.id, std::move(*generate));
    } else if (auto* score = std::get_if<engine::ScoreJob>(&letter.body)) {
      engines_.text->submit(letter.id, std::move(*score));
    } else if (auto* embed = std::get_if<engine::EmbedJob>(&letter.body)) {
      engines_.embedder->submit(letter.id, std::move(*embed));
    } else if (std::holds_alternative<StatsRequest>(letter.body)) {
      writer_.write(letter.id, stats());
    } else {
      if (engines_.text != nullptr) engines_.text->cancel(letter.id);
      if (engines_.embedder != nullptr) engines_.embedder->cancel(letter.id);
    }
  }

  EngineStats stats() const {
    const auto text = engines_.text != nullptr ? engines_.text->totals() : engine::EngineTotals{};
    const auto embedder =
        engines_.embedder != nullptr ? engines_.embedder->totals() : engine::EmbedderTotals{};
    return {.n_running = text.n_running,
            .n_waiting = text.n_waiting + embedder.n_waiting,
            .n_kv_blocks = text.n_blocks,
            .n_kv_blocks_free = text.n_blocks_free,
            .n_tokens_prompt = text.n_tokens_prompt + embedder.n_tokens,
            .n_tokens_cached = text.n_tokens_cached,
            .n_tokens_generated = text.n_tokens_generated,
            .n_tokens_guessed = text.n_tokens_guessed,
            .n_guesses_right = text.n_guesses_right,
            .n_cancelled = text.n_cancelled + embedder.n_cancelled,
            .n_refused = text.n_refused,
            .n_stepped_back = text.n_stepped_back,
            .n_blocks_saved = text.n_blocks_saved,
            .n_blocks_brought_back = text.n_blocks_brought_back,
            .n_steps = text.n_steps,
            .n_step_tokens = text.n_step_tokens,
            .n_step_sequences = text.n_step_sequences};
  }

  const Engines engines_;
  HostWriter& writer_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::vector<Letter> mailbox_;
  bool closing_ = false;
  std::thread thread_;
};

// An error about a tool's schema says whose it is.
Error with_function_name(Error error, const Prompt& prompt) {
  constexpr std::string_view kTools = "tools[";
  const auto* chat = std::get_if<ChatPrompt>(&prompt);
  if (chat == nullptr || !error.param.starts_with(kTools)) return error;
  const size_t index = std::strtoul(error.param.c_str() + kTools.size(), nullptr, 10);
  error.message =
      fmt::format("function \"{}\": {}", chat->tools[index]["function"]["name"].get<std::string>(),
                  error.message);
  return error;
}

// The text of the message that continue_final_message goes on with.
Result<std::string> final_message(const Json& messages) {
  const Json* last = messages.is_array() && !messages.empty() ? &messages.back() : nullptr;
  const bool is_answer = last != nullptr && last->is_object() &&
                         last->value("role", Json()) == "assistant" &&
                         last->value("content", Json()).is_string();
  if (is_answer) return last->at("content").get<std::string>();
  return Error::invalid(
      "continue_final_message goes on with the last message, which must be the assistant's",
      "messages");
}

// The second text of a pair, as cross-encoders were trained: BERT's [CLS] first [SEP] second [SEP],
// RoBERTa's <s> first </s></s> second </s>.
void append_second(const text::Tokenizer& tokenizer, const std::string& second,
                   std::vector<TokenId>& ids) {
  const text::Vocab& vocab = tokenizer.vocab();
  const std::vector<TokenId> tail = tokenizer.encode(second, {.add_special = true});
  if (vocab.kind != text::VocabKind::kWordPiece && vocab.eos) ids.push_back(*vocab.eos);
  const bool has_bos = !tail.empty() && vocab.bos && tail.front() == *vocab.bos;
  ids.insert(ids.end(), tail.begin() + (has_bos ? 1 : 0), tail.end());
}

// Tells the client how far a load is, once for each percent.
class LoadReporter {
 public:
  LoadReporter(HostWriter& writer, RequestId id) : writer_(writer), id_(id) {}

  void operator()(const Loading& loading) {
    const uint64_t percent = loading.n_bytes / std::max<uint64_t>(1, loading.n_bytes_total / 100);
    if (percent == percent_) return;
    percent_ = percent;
    writer_.write(id_, loading);
  }

 private:
  HostWriter& writer_;
  const RequestId id_;
  uint64_t percent_ = UINT64_MAX;  // last told
};

// The text side of a loaded model, and the way to its engine.
class Host {
 public:
  Host(LoadedModel& loaded, const Clock& clock, HostWriter& writer, EngineThread* engine)
      : loaded_(loaded), clock_(clock), writer_(writer), engine_(engine) {}

  void handle(RequestId id, Command& command) {
    auto handled = std::visit([&](auto& body) { return serve(id, body); }, command);
    if (!handled.ok()) writer_.write(id, Failed{std::move(handled).error()});
  }

 private:
  Result<void> serve(RequestId id, GenerateRequest& request);
  Result<void> serve(RequestId id, ScoreRequest& request);
  Result<void> serve(RequestId id, EmbedRequest& request);
  Result<void> serve(RequestId id, TokenizeRequest& request);
  Result<void> serve(RequestId id, DetokenizeRequest& request);
  Result<void> serve(RequestId id, RenderRequest& request);
  Result<void> serve(RequestId id, StatsRequest& request);
  Result<void> serve(RequestId id, PingRequest& request);
  Result<void> serve(RequestId id, CancelRequest& request);
  Result<void> serve(RequestId, Hello&) { return Error::invalid("hello comes first, and once"); }
  Result<void> serve(RequestId, LoadRequest&) {
    return Error::invalid("this engine holds a model already");
  }
  Result<void> serve(RequestId, ReservedRequest& request) {
    return Error::unsupported(fmt::format("{} is not served yet", request.type));
  }

  Result<text::Spans> render(const ChatPrompt& prompt, Json tokens, int64_t now) const;
  Result<uint32_t> adapter_id(const std::string& name) const;
  std::vector<TokenId> encode_spans(const text::Spans& spans) const;
  Result<std::vector<TokenId>> encode(Prompt& prompt) const;
  // The prompt of a generation, and in the request's place of a grammar that of the whole answer.
  Result<std::vector<TokenId>> encode_chat(GenerateRequest& request, bool& in_reasoning) const;
  Result<std::shared_ptr<grammar::CompiledGrammar>> compile(
      const std::optional<grammar::GrammarSpec>& spec);
  Result<void> need_tokenizer() const;
  Result<void> need_engine() const;
  Result<void> need_text_engine() const;

  LoadedModel& loaded_;
  const Clock& clock_;
  HostWriter& writer_;
  EngineThread* engine_;  // null where no weights were loaded
  GrammarCache grammars_;
};

Result<void> Host::need_tokenizer() const {
  if (loaded_.tokenizer) return {};
  return Error::unsupported("only a template was loaded, no model");
}

Result<void> Host::need_engine() const {
  MARU_TRY_VOID(need_tokenizer());
  if (engine_ != nullptr) return {};
  return Error::unsupported("only the vocabulary of this model was loaded");
}

Result<void> Host::need_text_engine() const {
  MARU_TRY_VOID(need_engine());
  if (loaded_.model != nullptr) return {};
  return makes_no_text_error();
}

Result<text::Spans> Host::render(const ChatPrompt& prompt, Json tokens, int64_t now) const {
  if (!loaded_.chat_template) {
    return loaded_.template_error ? *loaded_.template_error : no_chat_template_error();
  }
  const bool add_generation_prompt = prompt.add_generation_prompt && !prompt.continue_final_message;
  Json messages = prompt.messages;
  Json tools = prompt.tools;
  if (loaded_.shape) loaded_.shape->prepare(messages, tools);
  MARU_TRY(spans, loaded_.chat_template->render({.messages = std::move(messages),
                                                 .tools = std::move(tools),
                                                 .add_generation_prompt = add_generation_prompt,
                                                 .tokens = std::move(tokens),
                                                 .kwargs = prompt.template_kwargs,
                                                 .now_unix_seconds = now}));
  if (!prompt.continue_final_message) return spans;
  MARU_TRY(message, final_message(prompt.messages));
  return text::cut_after_message(std::move(spans), message);
}

// A template writes BOS itself, or leaves it to the tokenizer: either way there is one.
std::vector<TokenId> Host::encode_spans(const text::Spans& spans) const {
  std::vector<TokenId> ids = loaded_.tokenizer->encode(spans, false);
  const text::Vocab& vocab = loaded_.tokenizer->vocab();
  const bool lacks_bos = vocab.add_bos && vocab.bos && (ids.empty() || ids[0] != *vocab.bos);
  if (lacks_bos) ids.insert(ids.begin(), *vocab.bos);
  return ids;
}

Result<std::vector<TokenId>> Host::encode(Prompt& prompt) const {
  if (const auto* chat = std::get_if<ChatPrompt>(&prompt)) {
    MARU_TRY(spans, render(*chat, loaded_.template_tokens, clock_.unix_seconds()));
    return encode_spans(spans);
  }
  if (const auto* text = std::get_if<TextPrompt>(&prompt)) {
    return loaded_.tokenizer->encode(
        text->text, {.parse_special = text->parse_special, .add_special = text->add_special});
  }
  return std::move(std::get<TokensPrompt>(prompt).ids);
}

Result<std::vector<TokenId>> Host::encode_chat(GenerateRequest& request, bool& in_reasoning) const {
  const auto& chat = std::get<ChatPrompt>(request.prompt);
  MARU_TRY(spans, render(chat, loaded_.template_tokens,
                         request.now_unix_seconds.value_or(clock_.unix_seconds())));
  if (loaded_.shape) {
    const auto state = loaded_.shape->reasoning_state(spans, chat.continue_final_message);
    in_reasoning = state == text::ReasoningState::kOpen;
    MARU_TRY(whole, answer_grammar(*loaded_.shape, state, request, chat.tools));
    request.grammar = std::move(whole);
  }
  return encode_spans(spans);
}

Result<std::shared_ptr<grammar::CompiledGrammar>> Host::compile(
    const std::optional<grammar::GrammarSpec>& spec) {
  if (!spec) return std::shared_ptr<grammar::CompiledGrammar>();
  return grammars_.get(*spec, *loaded_.tokens);
}

Result<uint32_t> Host::adapter_id(const std::string& name) const {
  if (name.empty()) return 0u;
  const auto& adapters = loaded_.card.adapters;
  const auto found = std::ranges::find(adapters, name, &AdapterCard::name);
  if (found != adapters.end()) return static_cast<uint32_t>(found - adapters.begin() + 1);
  Error error = Error::not_found(fmt::format("this engine has no adapter \"{}\"", name));
  error.param = "adapter";
  return error;
}

Result<void> Host::serve(RequestId id, GenerateRequest& request) {
  MARU_TRY_VOID(need_text_engine());
  MARU_TRY(adapter, adapter_id(request.adapter));
  bool in_reasoning = false;
  const bool is_chat = std::holds_alternative<ChatPrompt>(request.prompt);
  MARU_TRY(ids, is_chat ? encode_chat(request, in_reasoning) : encode(request.prompt));
  auto grammar = compile(request.grammar);
  if (!grammar.ok()) return with_function_name(std::move(grammar).error(), request.prompt);
  auto prediction = loaded_.tokenizer->encode(request.prediction, {});
  engine_->post({id, engine::GenerateJob{.prompt = std::move(ids),
                                         .sampling = std::move(request.sampling),
                                         .stop = std::move(request.stop),
                                         .max_tokens = request.max_tokens,
                                         .ignore_eos = request.ignore_eos,
                                         .cache_salt = std::move(request.cache_salt),
                                         .keep_kv = request.keep_kv,
                                         .echo_prompt_ids = request.echo_prompt_ids,
                                         .want_progress = request.want_progress,
                                         .adapter = adapter,
                                         .claim = std::move(request.claim),
                                         .grammar = *std::move(grammar),
                                         .prediction = std::move(prediction),
                                         .in_reasoning = in_reasoning}});
  return {};
}

Result<void> Host::serve(RequestId id, ScoreRequest& request) {
  MARU_TRY_VOID(need_text_engine());
  engine_->post({id, engine::ScoreJob{
                         .ids = std::move(request.ids), .last = request.last, .top = request.top}});
  return {};
}

Result<void> Host::serve(RequestId id, EmbedRequest& request) {
  MARU_TRY_VOID(need_engine());
  if (loaded_.embeddings == nullptr) return Error::unsupported("this model makes no embeddings");
  const bool ranks = loaded_.embeddings->rank_head() != nullptr;
  const auto* text = std::get_if<TextPrompt>(&request.prompt);
  if (ranks != request.query.has_value() || (ranks && text == nullptr)) {
    return Error::unsupported(
        ranks ? "this model ranks: it takes a query and a text"
              : "this model does not rank: there is nothing to do with a query");
  }
  std::vector<TokenId> ids;
  size_t n_first = SIZE_MAX;
  if (ranks) {
    ids = loaded_.tokenizer->encode(*request.query, {.add_special = true});
    n_first = ids.size();
    append_second(*loaded_.tokenizer, text->text, ids);
  } else {
    MARU_TRY(encoded, encode(request.prompt));
    ids = std::move(encoded);
  }
  engine_->post({id, engine::EmbedJob{.ids = std::move(ids),
                                      .n_first = n_first,
                                      .pooling = request.pooling,
                                      .normalize = request.normalize,
                                      .want_tokens = request.want_tokens}});
  return {};
}

Result<void> Host::serve(RequestId id, TokenizeRequest& request) {
  MARU_TRY_VOID(need_tokenizer());
  writer_.write(
      id, TokenIds{loaded_.tokenizer->encode(request.text, {.parse_special = request.parse_special,
                                                            .add_special = request.add_special})});
  return {};
}

Result<void> Host::serve(RequestId id, DetokenizeRequest& request) {
  MARU_TRY_VOID(need_tokenizer());
  for (const TokenId each : request.ids) {
    if (static_cast<size_t>(each) < loaded_.card.n_vocab) continue;
    return Error::invalid(
        fmt::format("ids holds token {}; the model has 0 to {}", each, loaded_.card.n_vocab - 1),
        "ids");
  }
  writer_.write(id, Bytes{loaded_.tokenizer->decode(request.ids)});
  return {};
}

Result<void> Host::serve(RequestId id, RenderRequest& request) {
  Json tokens = request.tokens.is_null() ? loaded_.template_tokens : std::move(request.tokens);
  if (!tokens.is_object()) return Error::invalid("tokens must be an object", "tokens");
  MARU_TRY(spans, render(request.prompt, std::move(tokens),
                         request.now_unix_seconds.value_or(clock_.unix_seconds())));
  Bytes rendered;
  for (const text::Span& span : spans) rendered.bytes += span.text;
  writer_.write(id, rendered);
  return {};
}

Result<void> Host::serve(RequestId id, StatsRequest& request) {
  if (engine_ == nullptr) {
    writer_.write(id, EngineStats{});
  } else {
    engine_->post({id, request});
  }
  return {};
}

// From this thread, since the engine's may be in the middle of a long step.
Result<void> Host::serve(RequestId id, PingRequest&) {
  writer_.write(id, Pong{loaded_.pool != nullptr ? loaded_.pool->n_barriers() : 0});
  return {};
}

Result<void> Host::serve(RequestId id, CancelRequest& request) {
  if (engine_ != nullptr) engine_->post({id, request});
  return {};
}

// Without the file everything works as well; only a new process knows nothing of old conversations.
void keep_on_disk(engine::Engine& engine, const LoadedModel& model, const LoadRequest& load,
                  int fd) {
  const size_t block_bytes = model.model->info().kv_block_bytes;
  if (load.kv_file_bytes_max == 0 || block_bytes == 0 || model.model->info().state_bytes > 0)
    return;
  engine::DiskCacheOptions options{
      .fd = fd, .block_bytes = block_bytes, .bytes_max = load.kv_file_bytes_max};
  CHECK(load.kv_file_secret.size() == options.secret.size());
  std::ranges::transform(load.kv_file_secret, options.secret.begin(),
                         [](char c) { return static_cast<std::byte>(c); });
  auto disk = engine::DiskCache::open(options);
  if (!disk.ok()) return log_warning("conversations stay in memory only: {}", disk.error().message);
  engine.keep_on_disk(std::move(disk).value());
}

}  // namespace

void serve_engine(int fd, const HostOptions& options) {
  CHECK(options.clock != nullptr);
  const std::string sandbox = options.harden ? harden_engine() : "none";
  HostWriter writer(fd);
  const auto incoming = accept_load(fd, writer);
  if (!incoming) return;
  const int64_t begin_ns = options.clock->monotonic_ns();
  auto loaded = options.loader(incoming->load, LoadReporter(writer, incoming->id));
  if (!loaded.ok()) return writer.write(incoming->id, Failed{loaded.error()});
  LoadedModel& model = **loaded;
  const auto to_client = [&writer](engine::SequenceId id, engine::Event event) {
    std::visit([&](auto& body) { writer.write(id, std::move(body)); }, event);
  };
  Engines engines;
  if (model.model != nullptr) {
    auto engine = engine::Engine::create(*model.model, *model.tokens, *options.clock,
                                         model.engine_options, to_client);
    if (!engine.ok()) return writer.write(incoming->id, Failed{engine.error()});
    engines.text = std::move(engine).value();
    keep_on_disk(*engines.text, model, incoming->load, options.kv_file_fd);
  }
  if (model.embeddings != nullptr) {
    engines.embedder = std::make_unique<engine::Embedder>(*model.embeddings,
                                                          model.engine_options.n_ctx, to_client);
  }
  std::unique_ptr<EngineThread> engine_thread;
  if (engines.text != nullptr || engines.embedder != nullptr) {
    engine_thread = std::make_unique<EngineThread>(std::move(engines), writer);
  }
  model.card.sandbox = sandbox;
  model.card.load_seconds = static_cast<double>(options.clock->monotonic_ns() - begin_ns) / 1e9;
  writer.write(incoming->id, model.card);
  Host host(model, *options.clock, writer, engine_thread.get());
  while (auto next = next_command(fd, writer)) host.handle(next->id, next->command);
}

}  // namespace maru::link
