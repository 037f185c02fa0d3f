// serve/openai/vectors.cc - see vectors.h.
#include "serve/openai/vectors.h"

#include <fmt/format.h>

#include <utility>

#include "serve/errors.h"
#include "serve/openai/replies.h"

namespace maru::serve::openai {

Vectors::Vectors(VectorsJob job, std::shared_ptr<link::Client> client,
                 std::shared_ptr<ResponseWriter> writer, std::shared_ptr<RequestMetrics> metrics)
    : job_(std::move(job)),
      client_(std::move(client)),
      handed_over_(client_),
      writer_(std::move(writer)),
      metrics_(std::move(metrics)),
      results_(job_.texts.size()) {}

void Vectors::start() {
  writer_->on_abort([weak = weak_from_this()](AbortReason reason) {
    if (const auto self = weak.lock()) self->on_abort(reason);
  });
  for (size_t i = 0; i < job_.texts.size(); ++i) {
    const link::RequestId id = client_->start_embed(
        job_.texts[i], [self = shared_from_this(), i](Result<link::EmbedResult> result) {
          self->on_result(i, std::move(result));
        });
    if (!handed_over_.add(id)) return;
  }
}

void Vectors::on_result(size_t index, Result<link::EmbedResult> result) {
  bool must_cancel = false;
  {
    const std::lock_guard lock(mutex_);
    if (is_over_) return;
    if (!result.ok()) {
      fail(index, std::move(result).error());
    } else {
      results_[index] = std::move(result).value();
      if (++n_done_ == results_.size()) {
        end(RequestMetrics::Outcome::kStop);
        Response response;
        response.content_type = "application/json";
        response.body = job_.reply(std::move(results_));
        writer_->send(std::move(response));
      }
    }
    must_cancel = has_failed_;
  }
  if (must_cancel) handed_over_.cancel_all();
}

void Vectors::end(RequestMetrics::Outcome outcome) {
  is_over_ = true;
  metrics_->ended(job_.model, outcome);
}

void Vectors::fail(size_t index, Error error) {
  end(RequestMetrics::outcome_of(error));
  has_failed_ = true;
  std::string_view code;
  if (error.code == ErrorCode::kInvalidArgument) {
    if (error.param == link::kContextLengthExceeded) code = link::kContextLengthExceeded;
    error.param = job_.name(index);
    error.message = error.param + ": " + error.message;
  }
  writer_->send(error_response(error, code));
}

void Vectors::on_abort(AbortReason reason) {
  {
    const std::lock_guard lock(mutex_);
    if (is_over_) return;
    if (reason == AbortReason::kStopping) {
      end(RequestMetrics::Outcome::kFailed);
      writer_->send(error_response(Error::unavailable("the server is stopping")));
    } else {
      end(RequestMetrics::Outcome::kAbandoned);
    }
  }
  handed_over_.cancel_all();
}

void end_vectors_reply(std::string& out, size_t n_prompt, std::span<const std::string> ignored) {
  out += fmt::format(R"(,"usage":{{"prompt_tokens":{0},"total_tokens":{0}}})", n_prompt);
  append_ignored(out, ignored);
  out += '}';
}

std::function<std::string(size_t)> names_in(std::string field, size_t n_texts) {
  return [field = std::move(field), n_texts](size_t index) {
    return n_texts == 1 ? field : fmt::format("{}[{}]", field, index);
  };
}

}  // namespace maru::serve::openai
