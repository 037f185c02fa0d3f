// serve/openai/replay.cc - see replay.h.
#include "serve/openai/replay.h"

#include <fmt/format.h>

#include <future>
#include <utility>

#include "serve/openai/generation.h"

namespace maru::serve::openai {
namespace {

// Hands over the one whole answer.
class PromisedReply final : public ResponseWriter {
 public:
  std::future<Response> reply() { return promise_.get_future(); }
  void send(Response response) override { promise_.set_value(std::move(response)); }
  void start_stream(Response) override { CHECK(false); }  // a receipt's request does not stream
  bool write(std::string_view) override { return false; }
  void finish() override {}
  void on_abort(std::function<void(AbortReason)>) override {}

 private:
  std::promise<Response> promise_;
};

Result<GenerateJob> read_job(const Receipt& receipt) {
  const std::string body = dump_json(receipt.request);
  auto job = receipt.endpoint == kChatEndpoint ? parse_chat(body, 0) : parse_completion(body, 0);
  if (!job.ok()) {
    Error error = job.error();
    error.message =
        fmt::format("this build does not take the receipt's request: {}", error.message);
    return error;
  }
  if (job->stream || receipt.request.find("seed") == receipt.request.end()) {
    return Error::invalid("a receipt's request has a seed and does not stream", "request");
  }
  return job;
}

}  // namespace

Result<Json> replay(const Receipt& receipt, std::shared_ptr<link::Client> client,
                    const Clock& clock) {
  MARU_TRY(job, read_job(receipt));
  for (link::GenerateRequest& prompt : job.prompts) prompt.adapter = receipt.source.adapter;
  MARU_TRY(echoes, read_echoes(job, *client));
  ReplyHead head{.endpoint = receipt.endpoint,
                 .id = receipt.id,
                 .created = receipt.created,
                 .model = receipt.source.model,
                 .fingerprint = system_fingerprint(receipt.source)};
  const auto writer = std::make_shared<PromisedReply>();
  auto reply = writer->reply();
  const Stopwatch stopwatch{&clock, std::make_shared<RequestMetrics>(), clock.monotonic_ns()};
  std::make_shared<Generation>(std::move(job), std::move(head), receipt.source, std::move(echoes),
                               std::move(client), writer, stopwatch)
      ->start();
  const Response response = reply.get();
  MARU_TRY(json, parse_json(response.body, kReceiptDepthMax));
  if (response.status == 200) return json["choices"];
  return Error{ErrorCode::kInternal, json["error"]["message"].get<std::string>(), {}};
}

}  // namespace maru::serve::openai
