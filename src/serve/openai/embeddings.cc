// serve/openai/embeddings.cc - see embeddings.h.
#include "serve/openai/embeddings.h"

#include <fmt/format.h>

#include <bit>
#include <span>
#include <utility>

#include "base/base64.h"
#include "model/pooling.h"
#include "serve/json_text.h"
#include "serve/openai/requests.h"

namespace maru::serve::openai {
namespace {

void append_vector(std::string& out, std::span<const float> values, bool base64) {
  if (base64) {
    static_assert(std::endian::native == std::endian::little);
    const std::string_view bytes(reinterpret_cast<const char*>(values.data()), values.size_bytes());
    out += '"';
    out += encode_base64(bytes);
    out += '"';
    return;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    out += i == 0 ? '[' : ',';
    append_json_number(out, values[i]);
  }
  out += ']';
}

std::string reply_text(const EmbeddingsJob& job, std::vector<link::EmbedResult> results) {
  std::string out = R"({"object":"list","data":[)";
  size_t n_prompt = 0;
  for (size_t i = 0; i < results.size(); ++i) {
    std::vector<float>& values = results[i].values;
    values.resize(job.dimensions.value_or(values.size()));
    if (job.normalize) model::normalize(values);
    if (i > 0) out += ',';
    out += fmt::format(R"({{"object":"embedding","index":{},"embedding":)", i);
    append_vector(out, values, job.base64);
    out += '}';
    n_prompt += results[i].n_prompt;
  }
  out += "],\"model\":";
  append_json_string(out, job.model);
  end_vectors_reply(out, n_prompt, job.ignored);
  return out;
}

}  // namespace

Result<EmbeddingsJob> parse_embeddings(std::string_view body) {
  MARU_TRY(json, parse_json(body));
  MARU_TRY(fields, Fields::check(kEmbeddingsEndpoint, std::move(json)));
  EmbeddingsJob job;
  MARU_TRY(model, read_model(fields));
  job.model = std::move(model);
  MARU_TRY(inputs, read_prompts(fields, "input", kEmbedInputsMax));
  job.inputs = std::move(inputs);
  if (const Json* format = fields.find("encoding_format")) {
    job.base64 = *format == "base64";
    if (!job.base64 && *format != "float") {
      return Error::invalid("encoding_format must be float or base64", "encoding_format");
    }
  }
  job.normalize = fields.flag("normalize");
  if (fields.find("dimensions") != nullptr) {
    job.dimensions = static_cast<size_t>(fields.integer("dimensions"));
  }
  job.ignored = fields.ignored();
  return job;
}

Result<VectorsJob> embeddings_job(EmbeddingsJob job, size_t d_model) {
  if (job.dimensions.value_or(0) > d_model) {
    return Error::invalid(fmt::format("dimensions is {}; the vectors of {} have {}",
                                      *job.dimensions, job.model, d_model),
                          "dimensions");
  }
  VectorsJob vectors;
  vectors.model = job.model;
  for (link::Prompt& input : job.inputs) vectors.texts.push_back({.prompt = std::move(input)});
  vectors.name = names_in("input", vectors.texts.size());
  vectors.reply = [job = std::move(job)](std::vector<link::EmbedResult> results) {
    return reply_text(job, std::move(results));
  };
  return vectors;
}

}  // namespace maru::serve::openai
