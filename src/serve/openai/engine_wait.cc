// serve/openai/engine_wait.cc - see engine_wait.h.
#include "serve/openai/engine_wait.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "serve/errors.h"
#include "serve/openai/models.h"
#include "serve/openai/replies.h"

namespace maru::serve::openai {
namespace {

std::string_view wire_code(const Error& error) {
  return error.code == ErrorCode::kNotFound ? kModelNotFound : std::string_view{};
}

class EngineWait : public std::enable_shared_from_this<EngineWait> {
 public:
  EngineWait(EngineRequest request, std::shared_ptr<ResponseWriter> writer, const Clock& clock)
      : request_(std::move(request)),
        writer_(std::move(writer)),
        clock_(clock),
        begin_ns_(clock.monotonic_ns()) {}

  void start(const Services& services, const std::string& model_id) {
    writer_->on_abort([weak = weak_from_this()](AbortReason reason) {
      if (const auto self = weak.lock()) self->on_abort(reason);
    });
    services.engine(
        model_id, {.on_progress = [self = shared_from_this()](
                                      const link::Loading& loading) { self->on_progress(loading); },
                   .on_ready =
                       [self = shared_from_this()](Result<std::shared_ptr<link::Client>> client) {
                         self->on_ready(std::move(client));
                       }});
  }

 private:
  void on_progress(const link::Loading& loading) {
    if (!request_.stream || clock_.monotonic_ns() - begin_ns_ < kQuietLoadNs) return;
    const std::lock_guard lock(mutex_);
    if (is_over_) return;
    if (!stream_begun_) writer_->start_stream(stream_head());
    stream_begun_ = true;
    const auto n_total = std::max<uint64_t>(1, loading.n_bytes_total);
    writer_->write(fmt::format(": loading {}%\n\n", 100 * loading.n_bytes / n_total));
  }

  void on_ready(Result<std::shared_ptr<link::Client>> client) {
    {
      const std::lock_guard lock(mutex_);
      if (is_over_) return;
      is_over_ = true;
    }
    const Result<void> good = client.ok() ? request_.check((*client)->card()) : client.error();
    if (!good.ok()) return fail(good.error());
    request_.go(std::move(client).value(), writer_, stream_begun_);
  }

  void on_abort(AbortReason reason) {
    {
      const std::lock_guard lock(mutex_);
      if (is_over_) return;
      is_over_ = true;
    }
    if (reason == AbortReason::kStopping) fail(Error::unavailable("the server is stopping"));
  }

  void fail(const Error& error) { answer_error(*writer_, error, wire_code(error), stream_begun_); }

  const EngineRequest request_;
  const std::shared_ptr<ResponseWriter> writer_;
  const Clock& clock_;
  const int64_t begin_ns_;
  std::mutex mutex_;
  bool stream_begun_ = false;  // does not change once it is over
  bool is_over_ = false;       // somebody else has the writer, or nobody wants it
};

// What the catalogue knows of a model saves loading it in order to refuse; the file itself decides.
link::ModelCard expected_card(const ModelInfo& model) {
  link::ModelCard card;
  const bool is_known = !model.architecture.empty();
  card.generates = model.kind != "embedding";
  card.has_chat_template = true;
  card.pooling = is_known && model.kind != "embedding" ? "" : "unknown yet";
  return card;
}

}  // namespace

Response stream_head() {
  Response head;
  head.content_type = "text/event-stream; charset=utf-8";
  head.headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}};
  return head;
}

void answer_error(ResponseWriter& writer, const Error& error, std::string_view wire_code,
                  bool stream_begun) {
  if (stream_begun) {
    writer.write(error_event(error, wire_code));
    writer.finish();
  } else {
    writer.send(error_response(error, wire_code));
  }
}

void with_engine(const Services& services, EngineRequest request,
                 std::shared_ptr<ResponseWriter> writer) {
  const auto models = services.models();
  const auto model = std::ranges::find(models, request.model, &ModelInfo::id);
  const Result<void> good = model == models.end() ? unknown_model_error(request.model, services)
                                                  : request.check(expected_card(*model));
  if (!good.ok()) return writer->send(error_response(good.error(), wire_code(good.error())));
  std::make_shared<EngineWait>(std::move(request), std::move(writer), *services.clock)
      ->start(services, model->model_id());
}

}  // namespace maru::serve::openai
