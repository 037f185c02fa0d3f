// serve/openai/requests.cc - see requests.h.
#include "serve/openai/requests.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <utility>

#include "serve/openai/chat_messages.h"
#include "serve/openai/grammar_fields.h"
#include "serve/openai/tool_fields.h"

namespace maru::serve::openai {
namespace {

using link::GenerateRequest;
using link::TokenId;

Result<std::vector<std::string>> read_stop(const Json* stop) {
  std::vector<std::string> strings;
  if (stop == nullptr) return strings;
  const auto accepted =
      fmt::format("stop must be a string or at most {} strings, each of 1 to {} bytes",
                  link::kStopMax, link::kStopBytesMax);
  const Json list = stop->is_string() ? Json::array({*stop}) : *stop;
  if (list.size() > link::kStopMax) return Error::invalid(accepted, "stop");
  for (const Json& value : list) {
    if (!value.is_string()) return Error::invalid(accepted, "stop");
    strings.push_back(value.get<std::string>());
    const size_t n_bytes = strings.back().size();
    if (n_bytes == 0 || n_bytes > link::kStopBytesMax) return Error::invalid(accepted, "stop");
  }
  return strings;
}

Result<std::vector<std::pair<TokenId, float>>> read_logit_bias(const Json* bias) {
  std::vector<std::pair<TokenId, float>> pairs;
  if (bias == nullptr) return pairs;
  if (bias->size() > engine::kLogitBiasMax) {
    return Error::invalid(fmt::format("logit_bias has {} entries; at most {} are accepted",
                                      bias->size(), engine::kLogitBiasMax),
                          "logit_bias");
  }
  for (const auto& [key, value] : bias->items()) {
    TokenId id = 0;
    const auto [end, ec] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (ec != std::errc() || end != key.data() + key.size() || id < 0) {
      return Error::invalid("logit_bias has a key that is no token id: " + key, "logit_bias");
    }
    if (!value.is_number() || value.get<double>() < -100 || value.get<double>() > 100) {
      return Error::invalid("logit_bias of token " + key + " must be a number from -100 to 100",
                            "logit_bias");
    }
    pairs.emplace_back(id, value.get<float>());
  }
  return pairs;
}

Result<engine::SamplingParams> read_sampling(const Fields& fields, uint64_t seed) {
  engine::SamplingParams sampling;
  sampling.temperature = static_cast<float>(fields.number("temperature"));
  sampling.top_k = static_cast<size_t>(fields.integer("top_k"));
  sampling.top_p = static_cast<float>(fields.number("top_p"));
  sampling.min_p = static_cast<float>(fields.number("min_p"));
  sampling.typical_p = static_cast<float>(fields.number("typical_p"));
  sampling.repetition_penalty = static_cast<float>(fields.number("repetition_penalty"));
  sampling.frequency_penalty = static_cast<float>(fields.number("frequency_penalty"));
  sampling.presence_penalty = static_cast<float>(fields.number("presence_penalty"));
  sampling.penalty_last_n = static_cast<size_t>(fields.integer("penalty_last_n"));
  MARU_TRY(bias, read_logit_bias(fields.find("logit_bias")));
  sampling.logit_bias = std::move(bias);
  const Json* given = fields.find("seed");
  sampling.seed = given == nullptr           ? seed
                  : given->is_number_float() ? static_cast<uint64_t>(given->get<int64_t>())
                                             : given->get<uint64_t>();
  return sampling;
}

// Whose request it is among those of this server, and how soon the answer is needed.
Result<engine::Claim> read_claim(const Fields& fields) {
  using enum engine::WorkClass;
  constexpr std::pair<std::string_view, engine::WorkClass> kTiers[] = {
      {"auto", kInteractive},  {"default", kInteractive}, {"priority", kInteractive},
      {"scale", kInteractive}, {"agent", kAgent},         {"flex", kBackground}};
  engine::Claim claim;
  if (const Json* user = fields.find("user")) claim.user = user->get<std::string>();
  if (claim.user.size() > engine::kUserBytesMax) {
    return Error::invalid(fmt::format("user has {} bytes; at most {} are accepted",
                                      claim.user.size(), engine::kUserBytesMax),
                          "user");
  }
  const Json* tier = fields.find("service_tier");
  if (tier == nullptr) return claim;
  std::string known;
  for (const auto& [name, work_class] : kTiers) {
    if (tier->get_ref<const std::string&>() == name) {
      claim.work_class = work_class;
      return claim;
    }
    known += (known.empty() ? "" : ", ") + std::string(name);
  }
  return Error::invalid("service_tier must be one of " + known, "service_tier");
}

Json receipt_request(const Fields& fields, uint64_t seed) {
  Json request = fields.resolved();
  for (const char* name : {"stream", "stream_options", "user", "service_tier", "cache_prompt",
                           "receipt", "prediction", "return_progress"}) {
    request.erase(name);
  }
  if (fields.find("seed") == nullptr) request["seed"] = seed;
  return request;
}

// {"type":"content","content":text}: what the answer is likely to repeat.
Result<std::string> read_prediction(const Json* prediction, Fields& fields) {
  if (prediction == nullptr) return std::string();
  const Json type = prediction->value("type", Json("content"));
  const auto content = prediction->find("content");
  if (type != "content" || content == prediction->end()) {
    return Error::invalid(R"(prediction must be an object like {"type":"content","content":"..."})",
                          "prediction");
  }
  for (const auto& [name, value] : prediction->items()) {
    if (name != "type" && name != "content") fields.ignore("prediction." + name);
  }
  return read_content(*content, "prediction.content");
}

// What both endpoints have in common; the prompts follow.
Result<GenerateJob> read_common(Fields& fields, Endpoint endpoint, GenerateRequest& request,
                                uint64_t seed) {
  GenerateJob job;
  job.endpoint = endpoint;
  MARU_TRY(model, read_model(fields));
  job.model = std::move(model);
  job.stream = fields.flag("stream");
  job.n = static_cast<size_t>(fields.integer("n"));
  if (const Json* options = fields.find("stream_options")) {
    if (!job.stream) return Error::invalid("stream_options needs stream: true", "stream_options");
    for (const auto& [name, value] : options->items()) {
      if (name != "include_usage") {
        fields.ignore("stream_options." + name);
      } else if (!value.is_boolean() && !value.is_null()) {
        return Error::invalid("stream_options.include_usage must be true or false",
                              "stream_options.include_usage");
      } else {
        job.include_usage = value.is_boolean() && value.get<bool>();
      }
    }
  }
  MARU_TRY(sampling, read_sampling(fields, seed));
  request.sampling = std::move(sampling);
  MARU_TRY(stop, read_stop(fields.find("stop")));
  request.stop = std::move(stop);
  MARU_TRY(claim, read_claim(fields));
  request.claim = std::move(claim);
  MARU_TRY(grammar, read_grammar(fields));
  request.grammar = std::move(grammar);
  request.ignore_eos = fields.flag("ignore_eos");
  request.want_progress = fields.flag("return_progress");
  if (request.want_progress && !job.stream) {
    return Error::invalid("return_progress needs stream: true", "return_progress");
  }
  request.keep_kv = fields.flag("cache_prompt");
  if (fields.find("max_tokens") != nullptr) {
    request.max_tokens = static_cast<size_t>(fields.integer("max_tokens"));
  }
  if (fields.flag("receipt")) job.receipt_request = receipt_request(fields, seed);
  return job;
}

bool is_token_id(const Json& value) {
  if (!value.is_number_integer()) return false;
  const auto id = value.get<int64_t>();
  return id >= 0 && id <= std::numeric_limits<TokenId>::max();
}

Result<link::Prompt> read_prompt(const Json& value, std::string_view field) {
  if (value.is_string()) {
    link::TextPrompt prompt;
    prompt.text = value.get<std::string>();
    return link::Prompt(std::move(prompt));
  }
  const bool is_ids = value.is_array() && !value.empty() && value.size() <= kPromptIdsMax &&
                      std::ranges::all_of(value, is_token_id);
  if (!is_ids) {
    return Error::invalid(
        fmt::format("{} must be a string, an array of strings, an array of token ids, or an array "
                    "of arrays of token ids; none of them empty",
                    field),
        std::string(field));
  }
  link::TokensPrompt prompt;
  prompt.ids = value.get<std::vector<TokenId>>();
  return link::Prompt(std::move(prompt));
}

// max_tokens has two names; two different values are a contradiction.
Result<void> read_max_completion_tokens(const Fields& fields, GenerateRequest& request) {
  if (fields.find("max_completion_tokens") == nullptr) return {};
  const auto newer = static_cast<size_t>(fields.integer("max_completion_tokens"));
  if (request.max_tokens && *request.max_tokens != newer) {
    return Error::invalid(
        "max_tokens and max_completion_tokens are two names of one thing, and "
        "differ: leave out one",
        "max_completion_tokens");
  }
  request.max_tokens = newer;
  return {};
}

}  // namespace

Result<std::string> read_model(const Fields& fields) {
  const Json* model = fields.find("model");
  if (model == nullptr || model->get<std::string>().empty()) {
    return Error::invalid("model is required: a name from GET /v1/models", "model");
  }
  return model->get<std::string>();
}

Result<std::vector<link::Prompt>> read_prompts(const Fields& fields, std::string_view field,
                                               size_t n_max) {
  const Json* value = fields.find(field);
  if (value == nullptr) {
    return Error::invalid(fmt::format("{} is required", field), std::string(field));
  }
  std::vector<link::Prompt> prompts;
  const bool is_one = value->is_string() || value->empty() || value->front().is_number();
  if (is_one) {
    MARU_TRY(prompt, read_prompt(*value, field));
    prompts.push_back(std::move(prompt));
    return prompts;
  }
  if (value->size() > n_max) {
    return Error::invalid(
        fmt::format("{} has {} entries; at most {} are accepted", field, value->size(), n_max),
        std::string(field));
  }
  for (const Json& item : *value) {
    MARU_TRY(prompt, read_prompt(item, field));
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

Result<GenerateJob> parse_chat(std::string_view body, uint64_t seed) {
  MARU_TRY(json, parse_json(body));
  MARU_TRY(fields, Fields::check(kChatEndpoint, std::move(json)));
  GenerateRequest request;
  MARU_TRY(job, read_common(fields, kChatEndpoint, request, seed));
  MARU_TRY_VOID(read_max_completion_tokens(fields, request));
  request.sampling.want_logprobs = fields.flag("logprobs");
  request.sampling.n_logprobs = static_cast<size_t>(fields.integer("top_logprobs"));
  if (request.sampling.n_logprobs > 0 && !request.sampling.want_logprobs) {
    return Error::invalid("top_logprobs needs logprobs: true", "top_logprobs");
  }
  link::ChatPrompt prompt;
  MARU_TRY(messages, read_messages(fields.find("messages"), fields));
  prompt.messages = std::move(messages);
  MARU_TRY(tools, read_tools(fields));
  prompt.tools = std::move(tools.declared);
  request.calls = std::move(tools.calls);
  if (request.grammar && request.calls && request.calls->n_min > 0) {
    return Error::invalid(
        "tool_choice asks for a call, so that there is no text that a second field could say "
        "something of; leave out one",
        "tool_choice");
  }
  prompt.add_generation_prompt = fields.flag("add_generation_prompt");
  prompt.continue_final_message = fields.flag("continue_final_message");
  if (prompt.continue_final_message) {
    if (fields.find("add_generation_prompt") != nullptr && prompt.add_generation_prompt) {
      return Error::invalid(
          "continue_final_message goes on with the last message and add_generation_prompt begins "
          "another: only one of them can be true",
          "continue_final_message");
    }
    prompt.add_generation_prompt = false;
    if (job.receipt_request) (*job.receipt_request)["add_generation_prompt"] = false;
  }
  if (const Json* kwargs = fields.find("chat_template_kwargs")) prompt.template_kwargs = *kwargs;
  MARU_TRY(prediction, read_prediction(fields.find("prediction"), fields));
  request.prediction = std::move(prediction);
  request.prompt = std::move(prompt);
  job.prompts.push_back(std::move(request));
  job.ignored = fields.ignored();
  return job;
}

Result<GenerateJob> parse_completion(std::string_view body, uint64_t seed) {
  MARU_TRY(json, parse_json(body));
  MARU_TRY(fields, Fields::check(kCompletionEndpoint, std::move(json)));
  GenerateRequest request;
  MARU_TRY(job, read_common(fields, kCompletionEndpoint, request, seed));
  job.echo = fields.flag("echo");
  if (fields.find("logprobs") != nullptr) {
    request.sampling.want_logprobs = true;
    const Json& n_logprobs = *fields.find("logprobs");
    request.sampling.n_logprobs = n_logprobs.get<size_t>();
    if (job.echo) {
      Error error = Error::unsupported("logprobs of an echoed prompt are not supported");
      error.param = "echo";
      return error;
    }
  }
  MARU_TRY(prompts, read_prompts(fields, "prompt", kChoicesMax));
  if (prompts.size() * job.n > kChoicesMax) {
    return Error::invalid(fmt::format("{} prompts with n = {} are more than {} choices",
                                      prompts.size(), job.n, kChoicesMax),
                          "n");
  }
  for (link::Prompt& prompt : prompts) {
    request.prompt = std::move(prompt);
    job.prompts.push_back(request);
  }
  job.ignored = fields.ignored();
  return job;
}

}  // namespace maru::serve::openai
