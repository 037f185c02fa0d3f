#include "serve/openai/receipt.h"

#include <gtest/gtest.h>

#include "serve/openai/requests.h"

namespace maru::serve::openai {
namespace {

Receipt sample() {
  Receipt receipt;
  receipt.id = "chatcmpl-1";
  receipt.created = 1'764'316'800;
  receipt.source = {.version = "1.2.3",
                    .commit = "c0ffee",
                    .model = "fake:1b",
                    .model_sha256 = {"ab", "cd"},
                    .template_sha256 = "ef",
                    .n_ctx = 4096};
  receipt.request = Json::parse(R"({"model":"fake:1b","temperature":1.0,"seed":9007199254740993,
      "messages":[{"role":"user","content":"안녕"}],"logit_bias":{"5":-1e-7}})");
  receipt.choices = Json::parse(R"([{"index":0,"message":{"content":"A \"b\"\n"}}])");
  return receipt;
}

TEST(ReceiptTest, ReadsWhatItWrote) {
  const Json json = receipt_json(sample());
  for (const std::string& text :
       {dump_json(json), json.dump(2), dump_json({{"id", "x"}, {"receipt", json}})}) {
    const auto read = parse_receipt(text);
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_EQ(read->id, "chatcmpl-1");
    EXPECT_EQ(read->created, 1'764'316'800);
    EXPECT_EQ(read->source, sample().source);
    EXPECT_EQ(read->endpoint, kChatEndpoint);
    EXPECT_EQ(read->request, sample().request);
    EXPECT_EQ(read->choices, sample().choices);
  }
}

TEST(ReceiptTest, AnAdapterIsAPartOfItsSource) {
  Receipt receipt = sample();
  receipt.source.adapter = "pirate", receipt.source.adapter_sha256 = "0a";
  const Json json = receipt_json(receipt);
  EXPECT_EQ(json["adapter"], Json({{"name", "pirate"}, {"sha256", "0a"}}));
  const auto read = parse_receipt(dump_json(json));
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->source, receipt.source);
  EXPECT_TRUE(receipt_json(sample())["adapter"].is_null());
  EXPECT_NE(system_fingerprint(receipt.source), system_fingerprint(sample().source));
}

TEST(ReceiptTest, TheOrderOfKeysAndTheSpellingOfNumbersAreFree) {
  // nlohmann::json sorts keys; a JavaScript program writes 1.0 as 1.
  nlohmann::json sorted = nlohmann::json::parse(dump_json(receipt_json(sample())));
  sorted["request"]["temperature"] = 1;
  const auto read = parse_receipt(sorted.dump());
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->request["temperature"], 1);
}

TEST(ReceiptTest, AChangedOneIsTold) {
  const Json good = receipt_json(sample());
  const auto expect_changed = [](const Json& json) {
    const auto read = parse_receipt(dump_json(json));
    ASSERT_FALSE(read.ok());
    EXPECT_EQ(read.error().code, ErrorCode::kCorrupt);
    EXPECT_NE(read.error().message.find("was changed after it was made"), std::string::npos);
  };
  Json changed = good;
  changed["choices"][0]["message"]["content"] = "B";
  expect_changed(changed);
  changed = good;
  changed["request"]["seed"] = 9007199254740992;
  expect_changed(changed);
  changed = good;
  changed["model"]["sha256"] = {"ab"};
  expect_changed(changed);
}

TEST(ReceiptTest, WhatIsNoReceiptIsRefusedByName) {
  const Json good = receipt_json(sample());
  const auto message = [&](const std::function<void(Json&)>& change) {
    Json json = good;
    change(json);
    const auto read = parse_receipt(dump_json(json));
    return read.ok() ? std::string("accepted") : read.error().message;
  };
  EXPECT_EQ(message([](Json& r) { r.erase("choices"); }), "field choices is missing");
  EXPECT_EQ(message([](Json& r) { r["more"] = 1; }), "field more is unknown");
  EXPECT_EQ(message([](Json& r) { r["endpoint"] = "/"; }),
            "field endpoint must be /v1/chat/completions or /v1/completions");
  EXPECT_EQ(message([](Json& r) { r["maru_receipt"] = 2; }),
            "a receipt of version 2; this build of Maru reads version 1");
  for (const char* text : {"[]", "{}", R"({"receipt":1})", R"({"id":"chatcmpl-1","choices":[]})"}) {
    const auto read = parse_receipt(text);
    ASSERT_FALSE(read.ok()) << text;
    EXPECT_NE(read.error().message.find("this is no receipt"), std::string::npos);
  }
  EXPECT_FALSE(parse_receipt("no JSON").ok());
}

TEST(ReceiptTest, TheFingerprintIsOfBuildModelAndTemplate) {
  const AnswerSource source = sample().source;
  const std::string fingerprint = system_fingerprint(source);
  EXPECT_EQ(fingerprint.size(), 19u);
  AnswerSource other = source;
  other.n_ctx = 1, other.model = "another name";
  EXPECT_EQ(system_fingerprint(other), fingerprint);
  other = source, other.commit = "c0ffef";
  EXPECT_NE(system_fingerprint(other), fingerprint);
  other = source, other.model_sha256.pop_back();
  EXPECT_NE(system_fingerprint(other), fingerprint);
  other = source, other.template_sha256.clear();
  EXPECT_NE(system_fingerprint(other), fingerprint);
}

TEST(ReceiptTest, TheFirstDifference) {
  const Json one = Json::parse(R"([{"text":"한글 abc","n":1.0,"list":[1,2]}])");
  EXPECT_FALSE(first_difference(one, Json::parse(R"([{"n":1,"list":[1,2],"text":"한글 abc"}])")));
  const auto expect = [&](const char* other, const char* where, const char* a, const char* b) {
    const auto found = first_difference(one, Json::parse(other));
    ASSERT_TRUE(found) << other;
    EXPECT_EQ(found->where, where);
    EXPECT_EQ(found->receipt, a);
    EXPECT_EQ(found->replay, b);
  };
  // Both characters begin with the same byte: it is shown whole.
  expect(R"([{"text":"한긁 abc"}])", "choices[0].text, from byte 3 on", R"("글 abc")",
         R"("긁 abc")");
  expect(R"([{"text":"한글 abc, more"}])", "choices[0].text, from byte 10 on", R"("")",
         R"(", more")");
  expect(R"([{"text":"한글 abc","n":2}])", "choices[0].n", "1.0", "2");
  expect(R"([{"text":"한글 abc","n":1}])", "choices[0].list", "[1,2]", "nothing");
  expect(R"([{"text":"한글 abc","n":1,"list":[1,2],"x":{}}])", "choices[0].x", "nothing", "{}");
  expect(R"([{"text":"한글 abc","n":1,"list":[1]}])", "choices[0].list[1]", "2", "nothing");
  expect("[]", "choices[0]", R"({"text":"한글 abc","n":1.0,"list":[1,2]})", "nothing");
}

// What a receipt's request makes is what the request itself made.
TEST(ReceiptTest, TheRequestOfAReceiptIsTheSameJob) {
  const auto sampling = [](const link::GenerateRequest& request) {
    const engine::SamplingParams& p = request.sampling;
    return std::tuple(p.temperature, p.top_k, p.top_p, p.min_p, p.typical_p, p.repetition_penalty,
                      p.frequency_penalty, p.presence_penalty, p.penalty_last_n, p.logit_bias,
                      p.seed, p.n_logprobs, p.want_logprobs);
  };
  const std::string chat = R"("messages":[{"role":"user","content":"hi"}],"model":"m")";
  for (const char* more :
       {"", R"(,"stream":true,"stream_options":{"include_usage":true},"user":"u")",
        R"(,"stream":true,"return_progress":true,"cache_prompt":false)",
        R"(,"n":2,"temperature":0.3,"top_k":7,"max_completion_tokens":9,"stop":["a","b"])",
        R"(,"seed":-1,"logprobs":true,"top_logprobs":2,"logit_bias":{"3":1.5})",
        R"(,"json_schema":{"type":"object"},"chat_template_kwargs":{"x":1})"}) {
    const auto job = parse_chat("{" + chat + R"(,"receipt":true)" + more + "}", 42);
    ASSERT_TRUE(job.ok()) << job.error().message;
    ASSERT_TRUE(job->receipt_request);
    for (const char* name : {"stream", "user", "receipt", "service_tier"}) {
      EXPECT_FALSE(job->receipt_request->contains(name)) << name;
    }
    const auto again = parse_chat(dump_json(*job->receipt_request), 77);
    ASSERT_TRUE(again.ok()) << again.error().message << dump_json(*job->receipt_request);
    EXPECT_EQ(again->n, job->n);
    ASSERT_EQ(again->prompts.size(), 1u);
    const link::GenerateRequest& a = job->prompts[0];
    const link::GenerateRequest& b = again->prompts[0];
    EXPECT_EQ(sampling(a), sampling(b));
    EXPECT_EQ(a.stop, b.stop);
    EXPECT_EQ(a.max_tokens, b.max_tokens);
    EXPECT_EQ(a.grammar.has_value(), b.grammar.has_value());
    EXPECT_EQ(std::get<link::ChatPrompt>(a.prompt).messages,
              std::get<link::ChatPrompt>(b.prompt).messages);
  }
  const auto plain = parse_chat("{" + chat + "}", 42);
  EXPECT_FALSE(plain->receipt_request);
}

TEST(ReceiptTest, AnAnswerThatGoesOnWithAMessageComesAgain) {
  const auto job = parse_chat(R"({"model":"m","receipt":true,"continue_final_message":true,
      "messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]})",
                              1);
  ASSERT_TRUE(job.ok()) << job.error().message;
  const auto again = parse_chat(dump_json(*job->receipt_request), 1);
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_TRUE(std::get<link::ChatPrompt>(again->prompts[0].prompt).continue_final_message);
}

}  // namespace
}  // namespace maru::serve::openai
