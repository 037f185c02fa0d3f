// serve/openai/generation.cc - see generation.h.
#include "serve/openai/generation.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "serve/openai/engine_wait.h"

namespace maru::serve::openai {
namespace {

// Unique: the answer's own id is, and the rest tells its calls apart.
std::string call_id(const ReplyHead& head, size_t choice, size_t call) {
  return fmt::format("call_{}{:02}{:02}", head.id.substr(head.id.find('-') + 1, 20), choice, call);
}

}  // namespace

Result<std::vector<std::string>> read_echoes(const GenerateJob& job, link::Client& client) {
  std::vector<std::string> echoes;
  if (!job.echo) return echoes;
  for (const link::GenerateRequest& request : job.prompts) {
    if (const auto* text = std::get_if<link::TextPrompt>(&request.prompt)) {
      echoes.push_back(text->text);
    } else {
      MARU_TRY(bytes, client.detokenize(std::get<link::TokensPrompt>(request.prompt).ids));
      echoes.push_back(std::move(bytes));
    }
  }
  return echoes;
}

Generation::Generation(GenerateJob job, ReplyHead head, AnswerSource source,
                       std::vector<std::string> echoes, std::shared_ptr<link::Client> client,
                       std::shared_ptr<ResponseWriter> writer, Stopwatch stopwatch)
    : job_(std::move(job)),
      head_(std::move(head)),
      source_(std::move(source)),
      echoes_(std::move(echoes)),
      client_(std::move(client)),
      handed_over_(client_),
      writer_(std::move(writer)),
      stopwatch_(std::move(stopwatch)),
      format_{text::find_call_format(client_->card().call_format),
              text::find_reasoning_format(client_->card().reasoning_format)},
      choices_(job_.prompts.size() * job_.n),
      parsers_(choices_.size()),
      token_ns_(choices_.size(), 0) {
  for (size_t i = 0; i < choices_.size() && !echoes_.empty(); ++i) {
    choices_[i].text = echoes_[i / job_.n];
  }
}

void Generation::start(bool stream_begun) {
  is_streaming_ = stream_begun;
  writer_->on_abort([weak = weak_from_this()](AbortReason reason) {
    if (const auto self = weak.lock()) self->on_abort(reason);
  });
  for (size_t i = 0; i < choices_.size(); ++i) {
    link::GenerateRequest request = job_.prompts[i / job_.n];
    request.sampling.seed += i % job_.n;
    request.now_unix_seconds = head_.created;
    const link::RequestId id = client_->generate(
        std::move(request), [self = shared_from_this(), i](link::GenerateEvent event) {
          self->on_event(i, std::move(event));
        });
    if (!handed_over_.add(id)) return;
  }
}

void Generation::on_event(size_t index, link::GenerateEvent event) {
  bool must_cancel = false;
  {
    const std::lock_guard lock(mutex_);
    if (is_over_) return;
    if (const auto* started = std::get_if<link::Started>(&event)) {
      on_started(index, started->in_reasoning);
    } else if (const auto* progress = std::get_if<link::Progress>(&event)) {
      writer_->write(progress_event(head_, index, *progress));
    } else if (const auto* delta = std::get_if<link::Delta>(&event)) {
      on_delta(index, *delta);
    } else if (const auto* done = std::get_if<link::Done>(&event)) {
      on_done(index, *done);
    } else {
      auto& failed = std::get<link::Failed>(event);
      fail(std::move(failed.error), failed.retry_after_seconds);
    }
    must_cancel = has_failed_;
  }
  if (must_cancel) handed_over_.cancel_all();
}

void Generation::on_started(size_t index, bool in_reasoning) {
  if (job_.endpoint == kChatEndpoint) {
    const link::GenerateRequest& request = job_.prompts[index / job_.n];
    text::AnswerParser::Options options{.in_reasoning = in_reasoning,
                                        .canonical = request.grammar.has_value()};
    if (request.calls && request.calls->n_max > 0) options.names = request.calls->names;
    parsers_[index].emplace(format_, std::move(options));
  }
  if (!job_.stream) return;
  if (!is_streaming_) writer_->start_stream(stream_head());
  is_streaming_ = true;
  // What was ignored is said once, in the first event of all.
  const bool is_first = !std::exchange(roles_begun_, true);
  writer_->write(role_event(head_, index, is_first,
                            is_first ? std::span(job_.ignored) : std::span<const std::string>{}));
  Choice& choice = choices_[index];
  if (choice.text.empty()) return;
  const text::AnswerPart echo{text::AnswerPart::kContent, choice.text};
  writer_->write(part_event(head_, index, choice, echo, {}));
  choice.n_offset = count_characters(choice.text);
}

void Generation::measure(size_t index) {
  const int64_t now_ns = stopwatch_.now_ns();
  int64_t& last_ns = token_ns_[index];
  const auto seconds_since = [&](int64_t begin_ns) {
    return static_cast<double>(now_ns - begin_ns) / 1e9;
  };
  if (last_ns == 0) {
    stopwatch_.metrics->first_token(head_.model, seconds_since(stopwatch_.begin_ns));
  } else {
    stopwatch_.metrics->next_token(head_.model, seconds_since(last_ns));
  }
  last_ns = std::max<int64_t>(now_ns, 1);
}

// All choices that have not ended share the fate of the request.
void Generation::count_unfinished(RequestMetrics::Outcome outcome) {
  for (const Choice& choice : choices_) {
    if (!choice.finish) stopwatch_.metrics->ended(head_.model, outcome);
  }
}

void Generation::on_delta(size_t index, const link::Delta& delta) {
  if (!delta.ids.empty()) measure(index);
  text::AnswerParts parts;
  if (auto& parser = parsers_[index]) {
    if (parser->in_reasoning()) choices_[index].n_reasoning += delta.ids.size();
    parser->feed(delta.text, parts);
  } else if (!delta.text.empty()) {
    parts.push_back({text::AnswerPart::kContent, delta.text});
  }
  add_parts(index, parts, delta.logprobs);
}

void Generation::add_parts(size_t index, const text::AnswerParts& parts,
                           std::span<const link::TokenLogprob> logprobs) {
  Choice& choice = choices_[index];
  const bool keeps = !job_.stream || job_.receipt_request;
  const auto send = [&](const text::AnswerPart& part) {
    if (job_.stream) writer_->write(part_event(head_, index, choice, part, logprobs));
    // Tokens of several parts come with the first.
    if (keeps) choice.logprobs.insert(choice.logprobs.end(), logprobs.begin(), logprobs.end());
    for (const link::TokenLogprob& token : logprobs) {
      choice.n_offset += count_characters(token.chosen.bytes);
    }
    logprobs = {};
  };
  for (const text::AnswerPart& part : parts) {
    switch (part.kind) {
      case text::AnswerPart::kContent:
        if (keeps) choice.text += part.text;
        break;
      case text::AnswerPart::kReasoning:
        if (keeps) choice.reasoning += part.text;
        break;
      case text::AnswerPart::kCall:
        choice.calls.push_back({call_id(head_, index, choice.calls.size()), part.text, {}});
        break;
      case text::AnswerPart::kArguments:
        if (keeps) choice.calls.back().arguments += part.text;
        break;
    }
    send(part);
  }
  if (!logprobs.empty()) send({});
}

void Generation::on_done(size_t index, const link::Done& done) {
  if (done.reason == link::FinishReason::kCancelled) {
    return fail(Error::unavailable("the generation was cancelled by the server"));
  }
  Choice& choice = choices_[index];
  if (auto& parser = parsers_[index]) {
    text::AnswerParts parts;
    parser->finish(parts);
    add_parts(index, parts, {});
  }
  choice.finish = done.reason;
  choice.usage = done.usage;
  ++n_done_;
  stopwatch_.metrics->ended(head_.model, done.reason == link::FinishReason::kLength
                                             ? RequestMetrics::Outcome::kLength
                                             : RequestMetrics::Outcome::kStop);
  const bool is_last = n_done_ == choices_.size();
  if (job_.stream) {
    const std::optional<Closing> last =
        is_last ? std::optional(closing(job_.receipt_request ? choices_text() : "")) : std::nullopt;
    writer_->write(finish_event(head_, index, choice, last ? &*last : nullptr));
  }
  if (is_last) complete();
}

std::string Generation::choices_text() const {
  return openai::choices_text(head_, choices_, job_.prompts.front().sampling.want_logprobs);
}

Closing Generation::closing(std::string_view choices) const {
  Closing closing;
  closing.totals = add_up(choices_, job_.n);
  if (job_.receipt_request) {
    closing.receipt = dump_json(receipt_json({.id = head_.id,
                                              .created = head_.created,
                                              .source = source_,
                                              .endpoint = head_.endpoint,
                                              .request = *job_.receipt_request,
                                              .choices = *parse_json(choices, kReceiptDepthMax)}));
  }
  return closing;
}

void Generation::complete() {
  is_over_ = true;
  if (job_.stream) {
    if (job_.include_usage) writer_->write(usage_event(head_, add_up(choices_, job_.n)));
    writer_->write(kDoneEvent);
    writer_->finish();
    return;
  }
  Response response;
  response.content_type = "application/json";
  const std::string choices = choices_text();
  response.body = whole_reply(head_, choices, closing(choices), job_.ignored);
  writer_->send(std::move(response));
}

void Generation::fail(Error error, double retry_after_seconds) {
  is_over_ = true;
  has_failed_ = true;
  count_unfinished(RequestMetrics::outcome_of(error));
  const WireError wire = to_wire_error(std::move(error), job_.endpoint);
  if (is_streaming_) {
    writer_->write(error_event(wire.error, wire.code));
    writer_->finish();
  } else {
    writer_->send(error_response(wire.error, wire.code, retry_after_seconds));
  }
}

void Generation::on_abort(AbortReason reason) {
  {
    const std::lock_guard lock(mutex_);
    if (is_over_) return;
    if (reason == AbortReason::kStopping) {
      fail(Error::unavailable("the server is stopping"));
    } else {
      is_over_ = true;
      count_unfinished(RequestMetrics::Outcome::kAbandoned);
    }
  }
  handed_over_.cancel_all();
}

}  // namespace maru::serve::openai
