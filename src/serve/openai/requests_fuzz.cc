// serve/openai/requests_fuzz.cc - request bodies that were changed at random become a job within
// its limits, or an error that a client can be sent; never a crash. Seeded; MARU_FUZZ_ITERATIONS
// makes it longer.
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/rng.h"
#include "serve/errors.h"
#include "serve/openai/embeddings.h"
#include "serve/openai/requests.h"
#include "serve/openai/rerank.h"

namespace maru::serve::openai {
namespace {

size_t n_iterations() {
  const char* wanted = std::getenv("MARU_FUZZ_ITERATIONS");
  return wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 20'000;
}

const std::vector<std::string>& corpus() {
  static const std::vector<std::string> kBodies = {
      R"({"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true,)"
      R"("stream_options":{"include_usage":true},"n":2,"seed":7,"temperature":0.5,"top_p":0.9})",
      R"({"model":"m","messages":[{"role":"system","content":[{"type":"text","text":"a"}]},)"
      R"({"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function",)"
      R"("function":{"name":"f","arguments":"{\"x\":1}"}}]},{"role":"tool","tool_call_id":"1",)"
      R"("content":"2"}],"logprobs":true,"top_logprobs":3,"stop":["a","b"],"max_tokens":5})",
      R"({"model":"m","prompt":["a","b"],"n":2,"logprobs":3,"logit_bias":{"5":-1.5},"top_k":4})",
      R"({"model":"m","prompt":[1,2,3],"echo":true,"min_p":0,"typical_p":1,"penalty_last_n":9,)"
      R"("repetition_penalty":1.1,"presence_penalty":-2,"frequency_penalty":2,"ignore_eos":true})",
      R"({"model":"m","messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":)"
      R"([{"function":{"name":"f","arguments":"{"}}]},{"role":"tool","content":null}],"tools":[)"
      R"({"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],)"
      R"("tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":false})",
      R"({"model":"m","messages":[{"role":"user","content":"x"}],"tools":[],"user":"u",)"
      R"("response_format":{"type":"text"},"chat_template_kwargs":{"a":[1,{"b":null}]}})",
      R"({"model":"m","input":["a",[1,2]],"encoding_format":"base64","dimensions":8,"user":"u"})",
      R"({"model":"m","input":[[1,2],[3]],"normalize":false})",
      R"({"model":"m","query":"q","documents":["a",{"text":"b"}],"top_n":1,"raw_scores":true})",
  };
  return kBodies;
}

std::string mutate(std::string text, Rng& rng) {
  static const std::string kTokens[] = {"null",
                                        "-1",
                                        "1e999",
                                        "18446744073709551616",
                                        "[]",
                                        "{}",
                                        "\"\"",
                                        "[[[[",
                                        "\\ud800",
                                        "\xFF",
                                        "true",
                                        "1e300",
                                        "-9223372036854775808",
                                        "2147483648",
                                        "[null]",
                                        "0.5",
                                        "\"name\":"};
  for (size_t n = 1 + rng.below(4); n > 0; --n) {
    const size_t at = rng.below(text.size() + 1);
    switch (rng.below(4)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(rng.below(256));
        break;
      case 1:
        text.erase(at, 1 + rng.below(12));
        break;
      case 2:
        text.insert(at, kTokens[rng.below(std::size(kTokens))]);
        break;
      default: {  // a value takes the place of another
        const size_t colon = text.find(':', at);
        if (colon == std::string::npos) break;
        const size_t end = text.find_first_of(",}]", colon);
        text.replace(colon + 1, end == std::string::npos ? 0 : end - colon - 1,
                     kTokens[rng.below(std::size(kTokens))]);
      }
    }
  }
  return text;
}

void check_job(const GenerateJob& job) {
  ASSERT_GE(job.prompts.size(), 1u);
  ASSERT_LE(job.prompts.size() * job.n, kChoicesMax);
  ASSERT_FALSE(job.model.empty());
  for (const link::GenerateRequest& request : job.prompts) {
    ASSERT_TRUE(engine::check_sampling(request.sampling, size_t{1} << 31).ok());
    ASSERT_LE(request.stop.size(), link::kStopMax);
    ASSERT_NE(request.max_tokens, std::optional<size_t>(0));
  }
}

// A job, or an error that a client can be sent.
template <class Job>
void check_outcome(const Result<Job>& job, size_t& n_jobs) {
  if (job.ok()) {
    ++n_jobs;
    return;
  }
  ASSERT_EQ(error_response(job.error()).status, 400);
  ASSERT_FALSE(job.error().message.empty());
  ASSERT_TRUE(parse_json(error_body(job.error())).ok());
}

TEST(RequestsFuzz, ChangedBodiesBecomeAJobOrAnError) {
  size_t n_jobs = 0;
  for (uint64_t seed = 0; seed < n_iterations(); ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    const std::string body = mutate(corpus()[rng.below(corpus().size())], rng);
    for (const auto& job : {parse_chat(body, seed), parse_completion(body, seed)}) {
      if (job.ok()) check_job(*job);
      check_outcome(job, n_jobs);
    }
    const auto embeddings = parse_embeddings(body);
    if (embeddings.ok()) {
      ASSERT_GE(embeddings->inputs.size(), 1u);
      ASSERT_LE(embeddings->inputs.size(), kEmbedInputsMax);
      ASSERT_NE(embeddings->dimensions, std::optional<size_t>(0));
    }
    check_outcome(embeddings, n_jobs);
    const auto rerank = parse_rerank(body);
    if (rerank.ok()) {
      ASSERT_GE(rerank->top_n, 1u);
      ASSERT_LE(rerank->top_n, rerank->documents.size());
    }
    check_outcome(rerank, n_jobs);
    if (HasFatalFailure()) FAIL() << body;
  }
  EXPECT_GT(n_jobs, n_iterations() / 50);  // the loop reaches past the JSON parser
}

}  // namespace
}  // namespace maru::serve::openai
