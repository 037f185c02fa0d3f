// serve/openai/rerank.cc - see rerank.h.
#include "serve/openai/rerank.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "serve/json_text.h"
#include "serve/openai/requests.h"

namespace maru::serve::openai {
namespace {

struct Scored {
  size_t index = 0;
  double score = 0;
};

Result<std::string> read_document(const Json& value, size_t index) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("text") && value["text"].is_string()) {
    return value["text"].get<std::string>();
  }
  return Error::invalid("a document must be a string or an object with a string \"text\"",
                        fmt::format("documents[{}]", index));
}

// Of the angle between two vectors; 0 where one of them has no direction.
double cosine(std::span<const float> a, std::span<const float> b) {
  double product = 0, squares_a = 0, squares_b = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    product += double{a[i]} * b[i];
    squares_a += double{a[i]} * a[i];
    squares_b += double{b[i]} * b[i];
  }
  const double length = std::sqrt(squares_a) * std::sqrt(squares_b);
  return length == 0 ? 0 : product / length;
}

double ranked(double score, bool raw) { return raw ? score : 1 / (1 + std::exp(-score)); }

std::string reply_text(const RerankJob& job, std::vector<Scored> scored, size_t n_prompt) {
  // The best first; of equals the one that came first.
  std::ranges::sort(scored, {},
                    [](const Scored& each) { return std::pair(-each.score, each.index); });
  scored.resize(job.top_n);
  std::string out = "{\"object\":\"list\",\"model\":";
  append_json_string(out, job.model);
  out += ",\"results\":[";
  for (size_t i = 0; i < scored.size(); ++i) {
    if (i > 0) out += ',';
    out += fmt::format(R"({{"index":{},"relevance_score":)", scored[i].index);
    append_json_number(out, scored[i].score);
    if (job.return_documents) {
      out += ",\"document\":{\"text\":";
      append_json_string(out, job.documents[scored[i].index]);
      out += '}';
    }
    out += '}';
  }
  out += ']';
  end_vectors_reply(out, n_prompt, job.ignored);
  return out;
}

}  // namespace

Result<RerankJob> parse_rerank(std::string_view body) {
  MARU_TRY(json, parse_json(body));
  MARU_TRY(fields, Fields::check(kRerankEndpoint, std::move(json)));
  RerankJob job;
  MARU_TRY(model, read_model(fields));
  job.model = std::move(model);
  const Json* query = fields.find("query");
  if (query == nullptr) return Error::invalid("query is required", "query");
  job.query = query->get<std::string>();
  const Json* documents = fields.find("documents");
  if (documents == nullptr || documents->empty() || documents->size() > kRerankDocumentsMax) {
    return Error::invalid(
        fmt::format("documents must be an array of 1 to {}, not of {}", kRerankDocumentsMax,
                    documents == nullptr ? 0 : documents->size()),
        "documents");
  }
  for (const Json& value : *documents) {
    MARU_TRY(document, read_document(value, job.documents.size()));
    job.documents.push_back(std::move(document));
  }
  job.top_n = job.documents.size();
  if (fields.find("top_n") != nullptr) {
    job.top_n = std::min(job.top_n, static_cast<size_t>(fields.integer("top_n")));
  }
  job.return_documents = fields.flag("return_documents");
  job.raw_scores = fields.flag("raw_scores");
  job.ignored = fields.ignored();
  return job;
}

VectorsJob rerank_job(RerankJob job, bool ranks) {
  VectorsJob vectors;
  vectors.model = job.model;
  const size_t n_before = ranks ? 0 : 1;  // texts before the documents
  if (!ranks) vectors.texts.push_back({.prompt = link::TextPrompt{.text = job.query}});
  for (const std::string& document : job.documents) {
    vectors.texts.push_back({.prompt = link::TextPrompt{.text = document}});
    if (ranks) vectors.texts.back().query = job.query;
  }
  vectors.name = [n_before](size_t index) {
    return index < n_before ? "query" : fmt::format("documents[{}]", index - n_before);
  };
  vectors.reply = [job = std::move(job), ranks](const std::vector<link::EmbedResult>& results) {
    std::vector<Scored> scored;
    size_t n_prompt = 0;
    for (const link::EmbedResult& result : results) n_prompt += result.n_prompt;
    for (size_t i = 0; i < job.documents.size(); ++i) {
      const double score = ranks ? ranked(results[i].values.front(), job.raw_scores)
                                 : cosine(results[0].values, results[i + 1].values);
      scored.push_back({i, score});
    }
    return reply_text(job, std::move(scored), n_prompt);
  };
  return vectors;
}

}  // namespace maru::serve::openai
