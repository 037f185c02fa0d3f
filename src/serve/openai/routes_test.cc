// serve/openai/routes_test.cc - the API over a real socket, with engine events given by hand.
#include "serve/openai/routes.h"

#include <gtest/gtest.h>

#include <limits>

#include "serve/openai/fake_client.h"
#include "serve/openai/receipt.h"
#include "serve/openai/test_services.h"
#include "serve/test_client.h"

namespace maru::serve::openai {
namespace {

using link::FinishReason;

constexpr std::string_view kChat =
    R"({"model":"fake:1b","messages":[{"role":"user","content":"hi"}])";

link::Delta delta(std::string text) {
  link::Delta event;
  event.text = std::move(text);
  return event;
}
link::Done done(FinishReason reason, size_t n_prompt, size_t n_generated) {
  link::Done event;
  event.reason = reason;
  event.usage.n_prompt = n_prompt;
  event.usage.n_generated = n_generated;
  event.usage.generate_seconds = 0.5;
  return event;
}
link::TokenLogprob token(std::string bytes, float logprob) {
  link::TokenLogprob out;
  out.chosen = {1, logprob, bytes};
  out.top = {{1, logprob, bytes},
             {2, -std::numeric_limits<float>::infinity(), std::string("\xED\x95")}};
  return out;
}

class OpenAiRoutesTest : public ::testing::Test {
 protected:
  OpenAiRoutesTest() : engine_(std::make_shared<FakeClient>()) {
    engine_->card_.has_chat_template = true;
    engine_->card_.n_ctx = 4096;
    ServerOptions options = test_server_options();
    options.limits.stop_grace = std::chrono::milliseconds(10);
    auto services = std::make_shared<Services>();
    services->models = [] {
      ModelInfo chat{.id = "fake:1b",
                     .kind = "chat",
                     .owned_by = "us",
                     .license = "Apache-2.0",
                     .architecture = "llama",
                     .created = 7,
                     .n_params = 1000,
                     .n_bytes = 2000,
                     .n_ctx = 2048};
      ModelInfo base = chat;
      base.id = "base:1b";
      base.kind = "base";
      ModelInfo embedding = chat;
      embedding.id = "embed:1b";
      embedding.kind = "embedding";
      return std::vector<ModelInfo>{chat, base, embedding};
    };
    services->pullable = [] { return std::vector<std::string>{"base:1b", "fake:2b", "other:7b"}; };
    services->engine =
        by_id([this](const std::string& id) -> Result<std::shared_ptr<link::Client>> {
          if (id != "base:1b") return std::shared_ptr<link::Client>(engine_);
          auto base = std::make_shared<FakeClient>();
          return std::shared_ptr<link::Client>(base);
        });
    services->engines = ready_engines([this] {
      return std::vector<std::pair<std::string, std::shared_ptr<link::Client>>>{
          {"fake:1b", engine_}};
    });
    services->model_sha256 = [](const std::string&) {
      return Result<std::vector<std::string>>(std::vector<std::string>{"abc"});
    };
    services->build = {"1.2.3", "c0ffee"};
    services->clock = options.clock;
    services->random = options.random;
    Router router;
    add_routes(router, services);
    auto server = Server::start(options, std::move(router));
    server_ = std::move(server).value();
  }
  ~OpenAiRoutesTest() override {
    server_.reset();
    engine_->drop_sinks();
  }

  std::unique_ptr<TestClient> connect() { return std::make_unique<TestClient>(server_->port()); }
  TestReply post(const std::string& path, const std::string& body) {
    return connect()->post(path, body);
  }
  // Sends a chat request with more fields ("," and so on) and leaves the connection open.
  std::unique_ptr<TestClient> begin_chat(const std::string& more) {
    auto client = connect();
    client->send_post("/v1/chat/completions", std::string(kChat) + more + "}");
    return client;
  }

  std::shared_ptr<FakeClient> engine_;
  std::unique_ptr<Server> server_;
};

TEST_F(OpenAiRoutesTest, HealthAndModels) {
  auto client = connect();
  EXPECT_EQ(client->get("/health").body, R"({"status":"ok"})");
  const Json list = client->get("/v1/models").json();
  ASSERT_EQ(list["data"].size(), 3u);
  const Json& chat = list["data"][0];
  EXPECT_EQ(chat["id"], "fake:1b");
  EXPECT_EQ(chat["object"], "model");
  EXPECT_EQ(chat["context_length"], 4096);  // of the running engine
  EXPECT_EQ(chat["meta"]["license"], "Apache-2.0");
  EXPECT_EQ(client->get("/v1/models/fake%3A1b").json()["id"], "fake:1b");
  const TestReply missing = client->get("/v1/models/fake:3b");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(missing.json()["error"]["code"], "model_not_found");
  EXPECT_NE(missing.body.find("maru pull fake:2b"), std::string::npos) << missing.body;
  const TestReply misspelt = client->get("/v1/models/bse:1b");  // base:1b is here already
  EXPECT_NE(misspelt.body.find("nearest: base:1b"), std::string::npos) << misspelt.body;
  EXPECT_EQ(misspelt.body.find("maru pull base:1b"), std::string::npos) << misspelt.body;
  EXPECT_EQ(client->get("/maru/engines").json()["engines"][0]["n_running"], 0);
}

TEST_F(OpenAiRoutesTest, APredictionIsAStringOrTextParts) {
  const auto prediction = [&](size_t i, const std::string& value) {
    auto client = begin_chat(R"(,"prediction":)" + value);
    std::string text = engine_->request(i).prediction;
    engine_->emit(i, done(FinishReason::kStop, 1, 1));
    EXPECT_EQ(client->read_reply().status, 200);
    return text;
  };
  EXPECT_EQ(prediction(0, R"({"type":"content","content":"int x;\n"})"), "int x;\n");
  EXPECT_EQ(prediction(1, R"({"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]})"),
            "a\nb");
  EXPECT_EQ(prediction(2, "null"), "");
}

TEST_F(OpenAiRoutesTest, AWholeChatAnswer) {
  auto client = begin_chat(R"(,"seed":7,"max_tokens":9,"stop":"x","metadata":{},"frobnicate":1)");
  engine_->emit(0, link::Started{3, {}});
  engine_->emit(0, delta("Hello \"wor"));
  engine_->emit(0, delta("ld\"\n한"));
  link::Done last = done(FinishReason::kLength, 3, 9);
  last.usage.n_cached = 2;
  last.usage.n_predicted_right = 5;
  last.usage.n_predicted_wrong = 1;
  engine_->emit(0, last);
  const TestReply reply = client->read_reply();
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.header("content-type"), "application/json");
  const Json json = reply.json();
  EXPECT_EQ(json["object"], "chat.completion");
  EXPECT_EQ(json["id"].get<std::string>().substr(0, 9), "chatcmpl-");
  EXPECT_EQ(json["choices"][0]["message"]["content"], "Hello \"world\"\n한");
  EXPECT_EQ(json["choices"][0]["message"]["role"], "assistant");
  EXPECT_EQ(json["choices"][0]["finish_reason"], "length");
  EXPECT_TRUE(json["choices"][0]["logprobs"].is_null());
  EXPECT_EQ(json["usage"]["prompt_tokens"], 3);
  EXPECT_EQ(json["usage"]["completion_tokens"], 9);
  EXPECT_EQ(json["usage"]["total_tokens"], 12);
  EXPECT_EQ(json["usage"]["prompt_tokens_details"]["cached_tokens"], 2);
  const Json& details = json["usage"]["completion_tokens_details"];
  EXPECT_EQ(details["accepted_prediction_tokens"], 5);
  EXPECT_EQ(details["rejected_prediction_tokens"], 1);
  EXPECT_EQ(json["timings"]["cache_n"], 2);
  EXPECT_EQ(json["timings"]["prompt_n"], 1);
  EXPECT_EQ(json["timings"]["predicted_per_second"], 16.0);  // 8 tokens after the first in 0.5 s
  EXPECT_EQ(json["ignored_params"], Json::array({"metadata", "frobnicate"}));
  const link::GenerateRequest request = engine_->request(0);
  EXPECT_EQ(request.sampling.seed, 7u);
  EXPECT_TRUE(request.keep_kv);
  EXPECT_EQ(request.max_tokens, 9u);
  EXPECT_EQ(request.stop, std::vector<std::string>{"x"});
}

TEST_F(OpenAiRoutesTest, AStreamedChatAnswer) {
  auto client =
      begin_chat(R"(,"stream":true,"stream_options":{"include_usage":true},"metadata":{})");
  engine_->emit(0, link::Started{3, {}});
  engine_->emit(0, delta("Hel"));
  engine_->emit(0, delta(""));
  engine_->emit(0, delta("lo"));
  engine_->emit(0, done(FinishReason::kStop, 3, 2));
  const TestReply reply = client->read_reply();
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.header("content-type"), "text/event-stream; charset=utf-8");
  const std::vector<Json> events = events_of(reply);
  ASSERT_EQ(events.size(), 6u);
  EXPECT_EQ(events[0]["object"], "chat.completion.chunk");
  EXPECT_EQ(events[0]["choices"][0]["delta"], Json({{"role", "assistant"}, {"content", ""}}));
  EXPECT_EQ(events[0]["ignored_params"], Json::array({"metadata"}));
  EXPECT_EQ(events[1]["choices"][0]["delta"], Json({{"content", "Hel"}}));
  EXPECT_EQ(events[2]["choices"][0]["delta"]["content"], "lo");
  EXPECT_TRUE(events[2]["choices"][0]["finish_reason"].is_null());
  EXPECT_EQ(events[3]["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(events[3]["timings"]["predicted_n"], 2);
  EXPECT_TRUE(events[4]["choices"].empty());
  EXPECT_EQ(events[4]["usage"]["total_tokens"], 5);
  EXPECT_EQ(events[5], "[DONE]");
  for (size_t i = 1; i < 5; ++i) EXPECT_EQ(events[i]["id"], events[0]["id"]);
  EXPECT_EQ(client->get("/health").status, 200);  // the connection lives on
}

TEST_F(OpenAiRoutesTest, AStreamedAnswerTellsOfALongPrompt) {
  auto client = begin_chat(R"(,"stream":true,"return_progress":true)");
  EXPECT_TRUE(engine_->request(0).want_progress);
  engine_->emit(0, link::Started{3, {}});
  engine_->emit(0, link::Progress{512, 64, 2048, 0.25});
  engine_->emit(0, delta("Hello"));
  engine_->emit(0, done(FinishReason::kStop, 2048, 1));
  const std::vector<Json> events = events_of(client->read_reply());
  ASSERT_EQ(events.size(), 5u);
  EXPECT_EQ(events[1]["prompt_progress"],
            Json({{"total", 2048}, {"cache", 64}, {"processed", 512}, {"time_ms", 250.0}}));
  EXPECT_TRUE(events[1]["choices"][0]["delta"].empty());
  EXPECT_EQ(events[2]["choices"][0]["delta"]["content"], "Hello");
}

TEST_F(OpenAiRoutesTest, ChatLogprobs) {
  auto client = begin_chat(R"(,"logprobs":true,"top_logprobs":2)");
  engine_->emit(0, link::Started{});
  link::Delta event = delta("a");
  event.logprobs = {token("a", -0.5f)};
  engine_->emit(0, event);
  engine_->emit(0, done(FinishReason::kStop, 1, 1));
  const Json json = client->read_reply().json();
  const Json& content = json["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), 1u);
  EXPECT_EQ(content[0]["token"], "a");
  EXPECT_EQ(content[0]["logprob"], -0.5);
  EXPECT_EQ(content[0]["bytes"], Json::array({97}));
  EXPECT_EQ(content[0]["top_logprobs"][1]["logprob"], -9999);
  EXPECT_EQ(content[0]["top_logprobs"][1]["bytes"], Json::array({0xED, 0x95}));
  EXPECT_EQ(content[0]["top_logprobs"][1]["token"], "\xEF\xBF\xBD");
  EXPECT_TRUE(engine_->request(0).sampling.want_logprobs);
  EXPECT_EQ(engine_->request(0).sampling.n_logprobs, 2u);
}

TEST_F(OpenAiRoutesTest, CompletionsWithSeveralPromptsAndChoices) {
  auto client = connect();
  client->send_post("/v1/completions",
                    R"({"model":"fake:1b","prompt":["one","two"],"n":2,"seed":10,"echo":true})");
  for (size_t i = 0; i < 4; ++i) engine_->request(i);
  for (size_t i = 4; i-- > 0;) {  // in another order than they were asked for
    engine_->emit(i, link::Started{5, {}});
    engine_->emit(i, delta(" answer " + std::to_string(i)));
    engine_->emit(i, done(FinishReason::kStop, 5, 2));
  }
  const Json json = client->read_reply().json();
  EXPECT_EQ(json["object"], "text_completion");
  ASSERT_EQ(json["choices"].size(), 4u);
  EXPECT_EQ(json["choices"][1]["text"], "one answer 1");
  EXPECT_EQ(json["choices"][2]["text"], "two answer 2");
  EXPECT_EQ(json["choices"][3]["index"], 3);
  EXPECT_EQ(json["usage"]["prompt_tokens"], 10);  // each prompt once
  EXPECT_EQ(json["usage"]["completion_tokens"], 8);
  EXPECT_EQ(engine_->request(1).sampling.seed, 11u);
  EXPECT_EQ(engine_->request(2).sampling.seed, 10u);
}

TEST_F(OpenAiRoutesTest, StreamedCompletionLogprobsCountCharacters) {
  auto client = connect();
  client->send_post("/v1/completions",
                    R"({"model":"fake:1b","prompt":[1,2],"logprobs":2,"stream":true})");
  engine_->emit(0, link::Started{});
  for (const char* text : {"한국", "b"}) {
    link::Delta event = delta(text);
    event.logprobs = {token(text, -1)};
    engine_->emit(0, event);
  }
  engine_->emit(0, done(FinishReason::kStop, 1, 2));
  const std::vector<Json> events = events_of(client->read_reply());
  ASSERT_EQ(events.size(), 5u);
  EXPECT_EQ(events[1]["choices"][0]["logprobs"]["text_offset"], Json::array({0}));
  EXPECT_EQ(events[2]["choices"][0]["logprobs"]["text_offset"], Json::array({2}));
  EXPECT_EQ(events[2]["choices"][0]["logprobs"]["tokens"], Json::array({"b"}));
  EXPECT_EQ(events[2]["choices"][0]["logprobs"]["token_logprobs"], Json::array({-1}));
  EXPECT_EQ(std::get<link::TokensPrompt>(engine_->request(0).prompt).ids,
            (std::vector<link::TokenId>{1, 2}));
}

TEST_F(OpenAiRoutesTest, EveryAnswerSaysItsSeedAndFingerprint) {
  auto whole = begin_chat(R"(,"seed":7)");
  engine_->emit(0, link::Started{3, {}});
  engine_->emit(0, done(FinishReason::kStop, 3, 1));
  const Json answer = whole->read_reply().json();
  EXPECT_EQ(answer["seed"], 7);
  const std::string fingerprint = answer["system_fingerprint"].get<std::string>();
  EXPECT_TRUE(fingerprint.starts_with("fp_"));
  EXPECT_FALSE(answer.contains("receipt"));

  auto streamed = begin_chat(R"(,"stream":true,"n":2)");
  for (size_t i = 1; i < 3; ++i) engine_->emit(i, link::Started{3, {}});
  for (size_t i = 1; i < 3; ++i) engine_->emit(i, done(FinishReason::kStop, 3, 1));
  const std::vector<Json> events = events_of(streamed->read_reply());
  ASSERT_EQ(events.size(), 5u);
  const uint64_t seed = events[0]["seed"].get<uint64_t>();
  EXPECT_LT(seed, uint64_t{1} << 52);  // a double holds it
  EXPECT_EQ(engine_->request(1).sampling.seed, seed);
  EXPECT_EQ(engine_->request(2).sampling.seed, seed + 1);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(events[i]["system_fingerprint"], fingerprint);
    EXPECT_EQ(events[i].contains("seed"), i == 0);
    EXPECT_FALSE(events[i].contains("receipt"));
  }
}

TEST_F(OpenAiRoutesTest, AReceiptIsTheSameOfAWholeAndOfAStreamedAnswer) {
  engine_->card_.template_sha256 = "of the template";
  std::vector<Receipt> receipts;
  for (const char* more : {R"(,"seed":7,"receipt":true,"n":2)",
                           R"(,"seed":7,"receipt":true,"n":2,"stream":true,"user":"u")"}) {
    const size_t first = 2 * receipts.size();
    auto client = begin_chat(more);
    for (size_t i = first; i < first + 2; ++i) {
      engine_->emit(i, link::Started{3, {}});
      engine_->emit(i, delta("Hel"));
      engine_->emit(i, delta(i % 2 == 0 ? "lo" : "p"));
      engine_->emit(i, done(FinishReason::kStop, 3, 2));
    }
    const TestReply reply = client->read_reply();
    const Json answer =
        reply.body.starts_with("data: ") ? *(events_of(reply).end() - 2) : reply.json();
    const auto receipt = parse_receipt(dump_json(answer));
    ASSERT_TRUE(receipt.ok()) << receipt.error().message << reply.body;
    EXPECT_EQ(receipt->id, answer["id"].get<std::string>());
    EXPECT_EQ(engine_->request(first).now_unix_seconds, receipt->created);
    receipts.push_back(*receipt);
  }
  const Receipt& receipt = receipts[0];
  const AnswerSource source = {.version = "1.2.3",
                               .commit = "c0ffee",
                               .model = "fake:1b",
                               .model_sha256 = {"abc"},
                               .template_sha256 = "of the template",
                               .n_ctx = 4096};
  EXPECT_EQ(receipt.source, source);
  EXPECT_EQ(receipt.request["seed"], 7);
  EXPECT_EQ(receipt.request["temperature"], 0.8);  // the default, written out
  EXPECT_EQ(receipt.choices[0]["message"]["content"], "Hello");
  EXPECT_EQ(receipt.choices[1]["message"]["content"], "Help");
  EXPECT_EQ(receipts[1].source, receipt.source);
  EXPECT_EQ(receipts[1].request, receipt.request);
  EXPECT_EQ(receipts[1].choices, receipt.choices);
}

TEST_F(OpenAiRoutesTest, APromptThatIsTooLongIs400AlsoInAStream) {
  auto client = begin_chat(R"(,"stream":true)");
  engine_->emit(0, link::Failed{Error::invalid("10 tokens, 5 fit", "context_length_exceeded")});
  const TestReply reply = client->read_reply();
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.json()["error"]["code"], "context_length_exceeded");
  EXPECT_EQ(reply.json()["error"]["param"], "messages");
  EXPECT_EQ(reply.json()["error"]["type"], "invalid_request_error");
}

TEST_F(OpenAiRoutesTest, AnOverloadedEngineIs429) {
  auto client = begin_chat("");
  engine_->emit(0, link::Failed{Error::exhausted("256 requests are waiting")});
  const TestReply reply = client->read_reply();
  EXPECT_EQ(reply.status, 429);
  EXPECT_NE(reply.header("retry-after"), "");
}

TEST_F(OpenAiRoutesTest, AnEngineThatDiesEndsTheStreamByAnErrorEvent) {
  auto client = begin_chat(R"(,"stream":true,"n":2)");
  engine_->request(1);
  engine_->emit(0, link::Started{});
  engine_->emit(0, delta("Hel"));
  engine_->emit(0, link::Failed{Error::unavailable("the engine was killed by signal 11")});
  const TestReply reply = client->read_reply();
  EXPECT_TRUE(reply.is_complete);
  const std::vector<Json> events = events_of(reply);
  EXPECT_EQ(events.back()["error"]["code"], "unavailable");
  EXPECT_EQ(events.back()["error"]["message"], "the engine was killed by signal 11");
  EXPECT_EQ(engine_->wait_for_cancelled(2), (std::vector<link::RequestId>{1, 2}));
  engine_->emit(1, delta("late"));  // events of a cancelled choice are dropped
  engine_->emit(1, done(FinishReason::kCancelled, 1, 1));
}

TEST_F(OpenAiRoutesTest, AClientThatGoesAwayCancelsStreamedAndWhole) {
  for (const bool stream : {true, false}) {
    const size_t first = stream ? 0 : 2;
    auto client = begin_chat(stream ? R"(,"stream":true,"n":2)" : R"(,"n":2)");
    engine_->emit(first + 1, link::Started{});
    client->close();
    EXPECT_EQ(engine_->wait_for_cancelled(first + 2).size(), first + 2);
  }
}

TEST_F(OpenAiRoutesTest, AStoppingServerSaysSoInTheStream) {
  auto client = begin_chat(R"(,"stream":true)");
  engine_->emit(0, link::Started{});
  engine_->request(0);
  server_->stop();
  const std::vector<Json> events = events_of(client->read_reply());
  EXPECT_EQ(events.back()["error"]["message"], "the server is stopping");
  EXPECT_EQ(engine_->wait_for_cancelled(1).size(), 1u);
}

TEST_F(OpenAiRoutesTest, WrongRequests) {
  struct Case {
    std::string body;
    int status;
    std::string param;
    std::string part;  // of the message
  };
  const std::string model = R"({"model":"fake:1b",)";
  const std::string chat = std::string(kChat) + ",";
  const std::vector<Case> cases = {
      {"", 400, "", "JSON"},
      {"{", 400, "", "JSON"},
      {"[]", 400, "", "object"},
      {"{\"model\":\"\xFF\"}", 400, "", "UTF-8"},
      {std::string(100, '[') + std::string(100, ']'), 400, "", "64 levels"},
      {R"({"messages":[{"role":"user","content":"x"}]})", 400, "model", "required"},
      {R"({"model":"fake:9b","messages":[{"role":"user","content":"x"}]})", 404, "model",
       "maru pull"},
      {R"({"model":"base:1b","messages":[{"role":"user","content":"x"}]})", 400, "model",
       "/v1/completions"},
      {R"({"model":"embed:1b","messages":[{"role":"user","content":"x"}]})", 400, "model",
       "embeddings"},
      {model + R"("messages":[]})", 400, "messages", "1 to 2000"},
      {model + R"("messages":"x"})", 400, "messages", "array"},
      {model + R"("messages":[1]})", 400, "messages[0]", "object"},
      {model + R"("messages":[{"role":"king","content":"x"}]})", 400, "messages[0].role", "tool"},
      {model + R"("messages":[{"role":"user"}]})", 400, "messages[0].content", "required"},
      {model + R"("messages":[{"role":"user","content":[{"type":"image_url"}]}]})", 400,
       "messages[0].content[0]", "image_url"},
      {chat + R"("temperature":2.5})", 400, "temperature", "from 0 to 2, not 2.5"},
      {chat + R"("temperature":"hot"})", 400, "temperature", "number"},
      {chat + R"("top_p":0})", 400, "top_p", "above 0, at most 1"},
      {chat + R"("n":5})", 400, "n", "from 1 to 4"},
      {chat + R"("n":1.5})", 400, "n", "integer"},
      {chat + R"("max_tokens":0})", 400, "max_tokens", "from 1"},
      {chat + R"("max_tokens":1,"max_completion_tokens":2})", 400, "max_completion_tokens",
       "differ"},
      {chat + R"("top_logprobs":21,"logprobs":true})", 400, "top_logprobs", "20"},
      {chat + R"("top_logprobs":2})", 400, "top_logprobs", "logprobs: true"},
      {chat + R"("stop":[""]})", 400, "stop", "1 to 256"},
      {chat + R"("stop":[1]})", 400, "stop", "string"},
      {chat + R"("logit_bias":{"x":1}})", 400, "logit_bias", "token id"},
      {chat + R"("logit_bias":{"1":101}})", 400, "logit_bias", "100"},
      {chat + R"("tools":[{"type":"function"}]})", 400, "tools[0].function", "name"},
      {chat + R"("tool_choice":"required"})", 400, "tool_choice", "needs tools"},
      {chat + R"("functions":[{"name":"f"}]})", 400, "functions", "use tools"},
      {chat + R"("response_format":{"type":"xml"}})", 400, "response_format.type", "json_schema"},
      {chat + R"("response_format":{"type":"json_schema","json_schema":{"name":"x"}}})", 400,
       "response_format.json_schema.schema", "required"},
      {chat + R"("response_format":{"type":"json_object"},"grammar":"root ::= x"})", 400, "grammar",
       "second field"},
      {chat + R"("structured_outputs":{"structural_tag":"{}"}})", 400,
       "structured_outputs.structural_tag", "not supported"},
      {chat + R"("structured_outputs":{"regex":"a","json":{}}})", 400, "structured_outputs.json",
       "one of"},
      {chat + R"("structured_outputs":{}})", 400, "structured_outputs", "needs one of"},
      {chat + R"("guided_choice":[]})", 400, "guided_choice", "strings"},
      {chat + R"("guided_json":5})", 400, "guided_json", "an object"},
      {chat + R"("stream_options":{}})", 400, "stream_options", "stream: true"},
      {chat + R"("seed":1e300})", 400, "seed", "integer"},
      {chat + R"("prediction":"x"})", 400, "prediction", "object"},
      {chat + R"("prediction":{"type":"tokens","content":"x"}})", 400, "prediction", "content"},
      {chat + R"("prediction":{"type":"content"}})", 400, "prediction", "content"},
      {chat + R"("prediction":{"type":"content","content":7}})", 400, "prediction.content",
       "string"},
      {chat + R"("user":1})", 400, "user", "string"},
      {chat + R"("user":")" + std::string(257, 'u') + "\"}", 400, "user", "at most 256"},
      {chat + R"("service_tier":"soon"})", 400, "service_tier", "agent, flex"},
  };
  for (const Case& test : cases) {
    const TestReply reply = post("/v1/chat/completions", test.body);
    EXPECT_EQ(reply.status, test.status) << test.body << reply.body;
    const Json json = reply.json();
    ASSERT_TRUE(json.contains("error")) << test.body;
    const Json param = test.param.empty() ? Json(nullptr) : Json(test.param);
    EXPECT_EQ(json["error"]["param"], param) << test.body;
    EXPECT_NE(json["error"]["message"].get<std::string>().find(test.part), std::string::npos)
        << test.body << "\n"
        << reply.body;
  }
}

TEST_F(OpenAiRoutesTest, HarmlessValuesOfRefusedFieldsPass) {
  auto client = begin_chat(
      R"(,"tools":[],"tool_choice":"auto","response_format":{"type":"text"},"top_p":null)");
  engine_->emit(0, link::Started{});
  engine_->emit(0, done(FinishReason::kStop, 1, 1));
  const TestReply reply = client->read_reply();
  EXPECT_EQ(reply.status, 200) << reply.body;
  EXPECT_FALSE(reply.json().contains("ignored_params"));
}

TEST_F(OpenAiRoutesTest, UserAndTierDecideWhoGoesFirst) {
  auto client = begin_chat(R"(,"user":"ann","service_tier":"flex","cache_prompt":false)");
  const link::GenerateRequest request = engine_->request(0);
  EXPECT_FALSE(request.keep_kv);
  EXPECT_EQ(request.claim.user, "ann");
  EXPECT_EQ(request.claim.work_class, engine::WorkClass::kBackground);
  EXPECT_EQ(request.cache_salt, "");  // nothing a client sends is a key of the cache
  Error error = Error::exhausted("too many requests wait for this model already");
  engine_->emit(0, link::Failed{error, 6.2});
  const TestReply refused = client->read_reply();
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.header("retry-after"), "7");
  auto other = begin_chat("");
  EXPECT_EQ(engine_->request(1).claim.work_class, engine::WorkClass::kInteractive);
  engine_->emit(1, link::Failed{error});
  EXPECT_EQ(other->read_reply().header("retry-after"), "2");
}

TEST_F(OpenAiRoutesTest, AnUnfinishedAnswerIsContinued) {
  auto client = begin_chat(R"(,"continue_final_message":true)");
  const link::GenerateRequest request = engine_->request(0);
  EXPECT_TRUE(std::get<link::ChatPrompt>(request.prompt).continue_final_message);
  EXPECT_FALSE(std::get<link::ChatPrompt>(request.prompt).add_generation_prompt);
  engine_->emit(0, link::Started{});
  engine_->emit(0, done(FinishReason::kStop, 1, 1));
  EXPECT_EQ(client->read_reply().status, 200);
  client->send_post("/v1/chat/completions",
                    R"({"model":"fake:1b","messages":[{"role":"assistant","content":"a"}],
                        "continue_final_message":true,"add_generation_prompt":true})");
  const TestReply refused = client->read_reply();
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.json()["error"]["param"], "continue_final_message");
}

TEST_F(OpenAiRoutesTest, MessagesTakeTheShapeOfTemplates) {
  auto client = connect();
  client->send_post("/v1/chat/completions", R"({"model":"fake:1b","messages":[
    {"role":"developer","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
    {"role":"assistant","content":null,"refusal":"r","tool_calls":[
      {"id":"1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]},
    {"role":"tool","tool_call_id":"1","content":"2"}],"chat_template_kwargs":{"k":true}})");
  const link::GenerateRequest request = engine_->request(0);
  const auto& prompt = std::get<link::ChatPrompt>(request.prompt);
  EXPECT_EQ(prompt.messages[0], Json::parse(R"({"role":"system","content":"a\nb"})"));
  EXPECT_TRUE(prompt.messages[1]["content"].is_null());
  EXPECT_EQ(prompt.messages[1]["tool_calls"][0]["function"]["arguments"]["x"], 1);
  EXPECT_EQ(prompt.messages[2]["tool_call_id"], "1");
  EXPECT_EQ(prompt.template_kwargs["k"], true);
  engine_->emit(0, link::Started{});
  engine_->emit(0, done(FinishReason::kStop, 1, 1));
  EXPECT_EQ(client->read_reply().json()["ignored_params"], Json::array({"messages[].refusal"}));
}

}  // namespace
}  // namespace maru::serve::openai
