// serve/openai/routes.cc - see routes.h.
#include "serve/openai/routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "serve/errors.h"
#include "serve/openai/embeddings.h"
#include "serve/openai/engine_wait.h"
#include "serve/openai/generation.h"
#include "serve/openai/models.h"
#include "serve/openai/replies.h"
#include "serve/openai/requests.h"
#include "serve/openai/rerank.h"

namespace maru::serve::openai {
namespace {

using RequestPtr = std::shared_ptr<const Request>;
using WriterPtr = std::shared_ptr<ResponseWriter>;
using ServicesPtr = std::shared_ptr<const Services>;

constexpr std::string_view kRanks = "rank";  // ModelCard::pooling
// A seed that the server draws has 52 bits: clients that read numbers as doubles give it back
// whole.
constexpr int kSeedShift = 12;

void send_json(ResponseWriter& writer, const Json& json) {
  Response response;
  response.content_type = "application/json";
  response.body = dump_json(json);
  writer.send(std::move(response));
}

// The engine of a model, or null.
const link::EngineStatus* engine_of(const std::vector<link::EngineStatus>& engines,
                                    std::string_view id) {
  const auto found = std::ranges::find(engines, id, [](const link::EngineStatus& engine) {
    return std::string_view(engine.residency.model);
  });
  return found == engines.end() ? nullptr : &*found;
}

void list_models(const Services& services, ResponseWriter& writer) {
  const auto engines = services.engines();
  Json data = Json::array();
  for (const ModelInfo& model : services.models()) {
    data.push_back(model_json(model, engine_of(engines, model.model_id())));
  }
  send_json(writer, {{"object", "list"}, {"data", std::move(data)}});
}

void show_model(const Services& services, const std::string& id, ResponseWriter& writer) {
  const auto engines = services.engines();
  for (const ModelInfo& model : services.models()) {
    if (model.id == id)
      return send_json(writer, model_json(model, engine_of(engines, model.model_id())));
  }
  writer.send(error_response(unknown_model_error(id, services), kModelNotFound));
}

// Whether a model can be asked now: 503 while it is on its way or waits for memory. One that is not
// loaded is well: the first request loads it.
void show_health(const Services& services, const std::string& id, ResponseWriter& writer) {
  const auto models = services.models();
  if (std::ranges::find(models, id, &ModelInfo::id) == models.end()) {
    return writer.send(error_response(unknown_model_error(id, services), kModelNotFound));
  }
  const auto engines = services.engines();
  const link::EngineStatus* engine = engine_of(engines, id);
  const bool is_well = engine == nullptr || engine->residency.state == link::ModelState::kReady;
  Response response;
  response.status = is_well ? 200 : 503;
  response.content_type = "application/json";
  response.body = dump_json(
      {{"status", is_well ? "ok" : "unavailable"},
       {"model", id},
       {"state", engine == nullptr ? "unloaded" : link::model_state_name(engine->residency.state)},
       {"progress", engine == nullptr ? 0 : load_progress(*engine)}});
  writer.send(std::move(response));
}

// What the engines do now: the page and the tests look at it.
void list_engines(const Services& services, ResponseWriter& writer) {
  Json list = Json::array();
  for (const link::EngineStatus& status : services.engines()) {
    const link::Residency::Status& residency = status.residency;
    Json engine = {{"model", residency.model},
                   {"ready", false},
                   {"state", link::model_state_name(residency.state)},
                   {"progress", load_progress(status)},
                   {"n_users", residency.n_users},
                   {"n_waiting_for_load", residency.n_waiting},
                   {"memory_bytes", residency.bytes},
                   {"idle_seconds", static_cast<double>(residency.idle_ns) / 1e9},
                   {"pinned", residency.pinned}};
    const auto stats = status.client != nullptr ? status.client->stats()
                                                : Error::unavailable("there is no engine yet");
    if (stats.ok()) {
      engine["ready"] = true;
      engine["n_running"] = stats->n_running;
      engine["n_waiting"] = stats->n_waiting;
      engine["n_kv_blocks"] = stats->n_kv_blocks;
      engine["n_kv_blocks_free"] = stats->n_kv_blocks_free;
      engine["n_tokens_prompt"] = stats->n_tokens_prompt;
      engine["n_tokens_generated"] = stats->n_tokens_generated;
    }
    list.push_back(std::move(engine));
  }
  send_json(writer, {{"engines", std::move(list)}});
}

void show_metrics(const Services& services, ResponseWriter& writer) {
  RequestMetrics::Engines engines;
  RequestMetrics::Loads loads;
  for (const link::EngineStatus& status : services.engines()) {
    const link::Residency::Status& residency = status.residency;
    loads.push_back({.model = residency.model,
                     .ready = residency.state == link::ModelState::kReady,
                     .progress = load_progress(status),
                     .n_waiting = residency.n_waiting,
                     .bytes = residency.bytes,
                     .idle_seconds = static_cast<double>(residency.idle_ns) / 1e9});
    if (status.client == nullptr) continue;
    if (const auto stats = status.client->stats(); stats.ok()) {
      engines.emplace_back(residency.model, *stats);
    }
  }
  Response response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = services.metrics->text(engines, loads);
  writer.send(std::move(response));
}

Result<void> check_makes_text(const link::ModelCard& card, const std::string& model,
                              Endpoint endpoint) {
  if (!card.generates) {
    return Error::invalid(model + " makes embeddings and cannot generate text", "model");
  }
  if (endpoint == kChatEndpoint && !card.has_chat_template) {
    return Error::invalid(model +
                              " is a base model without a chat template: POST /v1/completions "
                              "works, chat does not",
                          "model");
  }
  return {};
}

Result<void> check_makes_vectors(const link::ModelCard& card, const std::string& model,
                                 Endpoint endpoint) {
  if (card.pooling == kRanks && endpoint == kEmbeddingsEndpoint) {
    return Error::invalid(model + " ranks documents (POST /v1/rerank) and makes no embeddings",
                          "model");
  }
  if (!card.pooling.empty()) return {};
  return Error::invalid(model + " generates text and was not made for embeddings", "model");
}

// What is known of a model or adapter by that name; with_engine() says where there is none.
ModelInfo model_of(const Services& services, const std::string& id) {
  const auto models = services.models();
  const auto model = std::ranges::find(models, id, &ModelInfo::id);
  if (model != models.end()) return *model;
  ModelInfo unknown;
  unknown.id = id;
  return unknown;
}

Result<AnswerSource> read_source(const Services& services, const ModelInfo& model,
                                 const link::ModelCard& card) {
  MARU_TRY(hashes, services.model_sha256(model.model_id()));
  AnswerSource source{.version = services.build.version,
                      .commit = services.build.commit,
                      .model = model.model_id(),
                      .model_sha256 = std::move(hashes),
                      .template_sha256 = card.template_sha256,
                      .n_ctx = card.n_ctx,
                      .adapter = model.adapter};
  for (const link::AdapterCard& adapter : card.adapters) {
    if (adapter.name == source.adapter) source.adapter_sha256 = adapter.sha256;
  }
  return source;
}

void generate(const ServicesPtr& services, Endpoint endpoint, const Request& request,
              WriterPtr writer) {
  const Stopwatch stopwatch{services->clock, services->metrics, services->clock->monotonic_ns()};
  const uint64_t seed = services->random() >> kSeedShift;
  auto parsed = endpoint == kChatEndpoint ? parse_chat(request.body, seed)
                                          : parse_completion(request.body, seed);
  if (!parsed.ok()) return writer->send(error_response(parsed.error()));
  const auto job = std::make_shared<GenerateJob>(*std::move(parsed));
  const ModelInfo model = model_of(*services, job->model);
  for (link::GenerateRequest& prompt : job->prompts) prompt.adapter = model.adapter;
  EngineRequest wanted;
  wanted.model = job->model;
  wanted.stream = job->stream;
  wanted.check = [job](const link::ModelCard& card) {
    return check_makes_text(card, job->model, job->endpoint);
  };
  wanted.go = [job, services, model, stopwatch](std::shared_ptr<link::Client> client, WriterPtr to,
                                                bool stream_begun) {
    auto echoes = read_echoes(*job, *client);
    if (!echoes.ok()) {
      const WireError wire = to_wire_error(echoes.error(), job->endpoint);
      return answer_error(*to, wire.error, wire.code, stream_begun);
    }
    auto source = read_source(*services, model, client->card());
    if (!source.ok()) return answer_error(*to, source.error(), {}, stream_begun);
    ReplyHead head;
    head.endpoint = job->endpoint;
    head.id = fmt::format("{}-{:016x}{:016x}", job->endpoint == kChatEndpoint ? "chatcmpl" : "cmpl",
                          services->random(), services->random());
    head.created = services->clock->unix_seconds();
    head.model = job->model;
    head.fingerprint = system_fingerprint(*source);
    head.seed = job->prompts.front().sampling.seed;
    std::make_shared<Generation>(std::move(*job), std::move(head), *std::move(source),
                                 *std::move(echoes), std::move(client), std::move(to), stopwatch)
        ->start(stream_begun);
  };
  with_engine(*services, std::move(wanted), std::move(writer));
}

// Of a job whose texts are known once the engine is: make_job gives them, or what is wrong.
void start_vectors(const ServicesPtr& services, const std::string& model, Endpoint endpoint,
                   std::function<Result<VectorsJob>(const link::ModelCard&)> make_job,
                   WriterPtr writer) {
  if (const ModelInfo info = model_of(*services, model); !info.adapter.empty()) {
    return writer->send(error_response(
        Error::invalid(fmt::format("{} is an adapter, which generates text only: name {} itself",
                                   model, info.base),
                       "model")));
  }
  EngineRequest wanted;
  wanted.model = model;
  wanted.check = [model, endpoint](const link::ModelCard& card) {
    return check_makes_vectors(card, model, endpoint);
  };
  wanted.go = [services, make_job = std::move(make_job)](std::shared_ptr<link::Client> client,
                                                         WriterPtr to, bool) {
    auto job = make_job(client->card());
    if (!job.ok()) return to->send(error_response(job.error()));
    std::make_shared<Vectors>(*std::move(job), std::move(client), std::move(to), services->metrics)
        ->start();
  };
  with_engine(*services, std::move(wanted), std::move(writer));
}

void embed(const ServicesPtr& services, const Request& request, WriterPtr writer) {
  const auto job = parse_embeddings(request.body);
  if (!job.ok()) return writer->send(error_response(job.error()));
  start_vectors(
      services, job->model, kEmbeddingsEndpoint,
      [job = *job](const link::ModelCard& card) { return embeddings_job(job, card.d_model); },
      std::move(writer));
}

void rerank(const ServicesPtr& services, const Request& request, WriterPtr writer) {
  const auto job = parse_rerank(request.body);
  if (!job.ok()) return writer->send(error_response(job.error()));
  start_vectors(
      services, job->model, kRerankEndpoint,
      [job = *job](const link::ModelCard& card) -> Result<VectorsJob> {
        return rerank_job(job, card.pooling == kRanks);
      },
      std::move(writer));
}

}  // namespace

void add_routes(Router& router, ServicesPtr services) {
  router.add("GET", "/health", RunOn::kIoThread,
             [](RequestPtr, WriterPtr writer) { send_json(*writer, {{"status", "ok"}}); });
  router.add("GET", "/health/{model}", RunOn::kWorker,
             [services](RequestPtr request, WriterPtr writer) {
               show_health(*services, request->capture, *writer);
             });
  router.add("GET", "/v1/models", RunOn::kWorker,
             [services](RequestPtr, WriterPtr writer) { list_models(*services, *writer); });
  router.add("GET", "/v1/models/{id}", RunOn::kWorker,
             [services](RequestPtr request, WriterPtr writer) {
               show_model(*services, request->capture, *writer);
             });
  router.add("GET", "/maru/engines", RunOn::kWorker,
             [services](RequestPtr, WriterPtr writer) { list_engines(*services, *writer); });
  router.add("GET", "/metrics", RunOn::kWorker,
             [services](RequestPtr, WriterPtr writer) { show_metrics(*services, *writer); });
  router.add("POST", "/v1/chat/completions", RunOn::kWorker,
             [services](RequestPtr request, WriterPtr writer) {
               generate(services, kChatEndpoint, *request, std::move(writer));
             });
  router.add("POST", "/v1/completions", RunOn::kWorker,
             [services](RequestPtr request, WriterPtr writer) {
               generate(services, kCompletionEndpoint, *request, std::move(writer));
             });
  router.add("POST", "/v1/embeddings", RunOn::kWorker,
             [services](RequestPtr request, WriterPtr writer) {
               embed(services, *request, std::move(writer));
             });
  for (const char* path : {"/v1/rerank", "/rerank", "/v2/rerank"}) {
    router.add("POST", path, RunOn::kWorker, [services](RequestPtr request, WriterPtr writer) {
      rerank(services, *request, std::move(writer));
    });
  }
}

}  // namespace maru::serve::openai
