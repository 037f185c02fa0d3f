// serve/openai/routes.cc - see routes.h.
#include "serve/openai/routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "serve/errors.h"
#include "serve/openai/embeddings.h"
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
constexpr std::string_view kModelNotFound = "model_not_found";
// A seed that the server draws has 52 bits: clients that read numbers as doubles give it back
// whole.
constexpr int kSeedShift = 12;

void send_json(ResponseWriter& writer, const Json& json) {
  Response response;
  response.content_type = "application/json";
  response.body = dump_json(json);
  writer.send(std::move(response));
}

// The card of a running engine, or null.
const link::ModelCard* card_of(
    const std::vector<std::pair<std::string, std::shared_ptr<link::Client>>>& running,
    std::string_view id) {
  for (const auto& [name, client] : running) {
    if (name == id) return &client->card();
  }
  return nullptr;
}

void list_models(const Services& services, ResponseWriter& writer) {
  const auto running = services.running();
  Json data = Json::array();
  for (const ModelInfo& model : services.models()) {
    data.push_back(model_json(model, card_of(running, model.id)));
  }
  send_json(writer, {{"object", "list"}, {"data", std::move(data)}});
}

void show_model(const Services& services, const std::string& id, ResponseWriter& writer) {
  const auto running = services.running();
  for (const ModelInfo& model : services.models()) {
    if (model.id == id) return send_json(writer, model_json(model, card_of(running, id)));
  }
  writer.send(error_response(unknown_model_error(id, services), kModelNotFound));
}

// What the engines do now: the page and the tests look at it.
void list_engines(const Services& services, ResponseWriter& writer) {
  Json engines = Json::array();
  for (const auto& [name, client] : services.running()) {
    const auto stats = client->stats();
    Json engine = {{"model", name}, {"ready", stats.ok()}};
    if (stats.ok()) {
      engine["n_running"] = stats->n_running;
      engine["n_waiting"] = stats->n_waiting;
      engine["n_kv_blocks"] = stats->n_kv_blocks;
      engine["n_kv_blocks_free"] = stats->n_kv_blocks_free;
      engine["n_tokens_prompt"] = stats->n_tokens_prompt;
      engine["n_tokens_generated"] = stats->n_tokens_generated;
    }
    engines.push_back(std::move(engine));
  }
  send_json(writer, {{"engines", std::move(engines)}});
}

void show_metrics(const Services& services, ResponseWriter& writer) {
  RequestMetrics::Engines engines;
  for (const auto& [name, client] : services.running()) {
    if (const auto stats = client->stats(); stats.ok()) engines.emplace_back(name, *stats);
  }
  Response response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = services.metrics->text(engines);
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

// What the catalogue knows of a model saves loading it in order to refuse; the file itself decides.
link::ModelCard expected_card(const ModelInfo& model) {
  link::ModelCard card;
  const bool is_known = !model.architecture.empty();
  card.generates = model.kind != "embedding";
  card.has_chat_template = true;
  card.pooling = is_known && model.kind != "embedding" ? "" : "unknown yet";
  return card;
}

using CheckCard = std::function<Result<void>(const link::ModelCard&)>;

Result<std::shared_ptr<link::Client>> find_engine(const Services& services, const std::string& id,
                                                  const CheckCard& check) {
  const auto models = services.models();
  const auto model = std::ranges::find(models, id, &ModelInfo::id);
  if (model == models.end()) return unknown_model_error(id, services);
  MARU_TRY_VOID(check(expected_card(*model)));
  MARU_TRY(client, services.client(id));
  MARU_TRY_VOID(check(client->card()));
  return client;
}

void refuse(ResponseWriter& writer, const Error& error) {
  const bool is_missing = error.code == ErrorCode::kNotFound;
  writer.send(error_response(error, is_missing ? kModelNotFound : std::string_view{}));
}

Result<AnswerSource> read_source(const Services& services, const std::string& model,
                                 const link::ModelCard& card) {
  MARU_TRY(hashes, services.model_sha256(model));
  return AnswerSource{.version = services.build.version,
                      .commit = services.build.commit,
                      .model = model,
                      .model_sha256 = std::move(hashes),
                      .template_sha256 = card.template_sha256,
                      .n_ctx = card.n_ctx};
}

void generate(const Services& services, Endpoint endpoint, const Request& request,
              WriterPtr writer) {
  const Stopwatch stopwatch{services.clock, services.metrics, services.clock->monotonic_ns()};
  const uint64_t seed = services.random() >> kSeedShift;
  auto job = endpoint == kChatEndpoint ? parse_chat(request.body, seed)
                                       : parse_completion(request.body, seed);
  if (!job.ok()) return writer->send(error_response(job.error()));
  auto client = find_engine(services, job->model, [&](const link::ModelCard& card) {
    return check_makes_text(card, job->model, endpoint);
  });
  if (!client.ok()) return refuse(*writer, client.error());
  auto echoes = read_echoes(*job, **client);
  if (!echoes.ok()) {
    const WireError wire = to_wire_error(echoes.error(), endpoint);
    return writer->send(error_response(wire.error, wire.code));
  }
  auto source = read_source(services, job->model, (*client)->card());
  if (!source.ok()) return writer->send(error_response(source.error()));
  ReplyHead head;
  head.endpoint = endpoint;
  head.id = fmt::format("{}-{:016x}{:016x}", endpoint == kChatEndpoint ? "chatcmpl" : "cmpl",
                        services.random(), services.random());
  head.created = services.clock->unix_seconds();
  head.model = job->model;
  head.fingerprint = system_fingerprint(*source);
  head.seed = job->prompts.front().sampling.seed;
  std::make_shared<Generation>(*std::move(job), std::move(head), *std::move(source),
                               *std::move(echoes), *std::move(client), std::move(writer), stopwatch)
      ->start();
}

void start_vectors(const Services& services, VectorsJob job, std::shared_ptr<link::Client> client,
                   WriterPtr writer) {
  std::make_shared<Vectors>(std::move(job), std::move(client), std::move(writer), services.metrics)
      ->start();
}

void embed(const Services& services, const Request& request, WriterPtr writer) {
  auto job = parse_embeddings(request.body);
  if (!job.ok()) return writer->send(error_response(job.error()));
  auto client = find_engine(services, job->model, [&](const link::ModelCard& card) {
    return check_makes_vectors(card, job->model, kEmbeddingsEndpoint);
  });
  if (!client.ok()) return refuse(*writer, client.error());
  auto vectors = embeddings_job(*std::move(job), (*client)->card().d_model);
  if (!vectors.ok()) return refuse(*writer, vectors.error());
  start_vectors(services, *std::move(vectors), *std::move(client), std::move(writer));
}

void rerank(const Services& services, const Request& request, WriterPtr writer) {
  auto job = parse_rerank(request.body);
  if (!job.ok()) return writer->send(error_response(job.error()));
  auto client = find_engine(services, job->model, [&](const link::ModelCard& card) {
    return check_makes_vectors(card, job->model, kRerankEndpoint);
  });
  if (!client.ok()) return refuse(*writer, client.error());
  const bool ranks = (*client)->card().pooling == kRanks;
  start_vectors(services, rerank_job(*std::move(job), ranks), *std::move(client),
                std::move(writer));
}

}  // namespace

void add_routes(Router& router, ServicesPtr services) {
  router.add("GET", "/health", RunOn::kIoThread,
             [](RequestPtr, WriterPtr writer) { send_json(*writer, {{"status", "ok"}}); });
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
               generate(*services, kChatEndpoint, *request, std::move(writer));
             });
  router.add("POST", "/v1/completions", RunOn::kWorker,
             [services](RequestPtr request, WriterPtr writer) {
               generate(*services, kCompletionEndpoint, *request, std::move(writer));
             });
  router.add("POST", "/v1/embeddings", RunOn::kWorker,
             [services](RequestPtr request, WriterPtr writer) {
               embed(*services, *request, std::move(writer));
             });
  for (const char* path : {"/v1/rerank", "/rerank", "/v2/rerank"}) {
    router.add("POST", path, RunOn::kWorker, [services](RequestPtr request, WriterPtr writer) {
      rerank(*services, *request, std::move(writer));
    });
  }
}

}  // namespace maru::serve::openai
