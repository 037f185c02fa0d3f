// serve/openai/scripted_test.cc - the whole server on the scripted engine: the real client, frames
// and protocol between the HTTP socket and the engine.
#include <gtest/gtest.h>

#include <future>

#include "link/in_process.h"
#include "link/scripted_engine.h"
#include "serve/openai/routes.h"
#include "serve/openai/test_services.h"
#include "serve/test_client.h"

namespace maru::serve::openai {
namespace {

const SystemClock kClock;

class ScriptedServerTest : public ::testing::Test {
 protected:
  void start(const std::string& script_json) {
    auto script = link::parse_script(script_json);
    ASSERT_TRUE(script.ok()) << script.error().message;
    auto client = link::start_in_process(
        [script = *script](int fd) { link::serve_scripted(fd, script, {.clock = &kClock}); }, {});
    ASSERT_TRUE(client.ok()) << client.error().message;
    engine_ = std::move(client).value();
    auto services = std::make_shared<Services>();
    services->models = [] {
      ModelInfo model;
      model.id = "scripted";
      model.kind = "chat";
      return std::vector<ModelInfo>{model};
    };
    services->pullable = [] { return std::vector<std::string>{}; };
    services->engine = by_id(
        [this](const std::string&) -> Result<std::shared_ptr<link::Client>> { return engine_; });
    services->engines = ready_engines([this] {
      return std::vector<std::pair<std::string, std::shared_ptr<link::Client>>>{
          {"scripted", engine_}};
    });
    const ServerOptions options = test_server_options();
    services->model_sha256 = [](const std::string&) {
      return Result<std::vector<std::string>>(std::vector<std::string>{"abc"});
    };
    services->build = {"1.2.3", "c0ffee"};
    services->clock = options.clock;
    services->random = options.random;
    Router router;
    add_routes(router, services);
    auto server = Server::start(options, std::move(router));
    ASSERT_TRUE(server.ok());
    server_ = std::move(server).value();
  }
  ~ScriptedServerTest() override { server_.reset(); }

  static std::string chat(const std::string& text, const std::string& more = "") {
    return R"({"model":"scripted","messages":[{"role":"user","content":")" + text + "\"}]" + more +
           "}";
  }
  TestReply post(const std::string& body, const std::string& path = "/v1/chat/completions") {
    return TestClient(server_->port()).post(path, body);
  }
  // Asks the stats route until the condition holds.
  void wait_for_engine(const std::function<bool(const Json&)>& condition) {
    for (;;) {
      const Json engines = TestClient(server_->port()).get("/maru/engines").json();
      if (condition(engines["engines"][0])) return;
    }
  }

  std::shared_ptr<link::Client> engine_;
  std::unique_ptr<Server> server_;
};

constexpr std::string_view kThinksAndCalls =
    R"({"card":{"call_format":"hermes","reasoning_format":"think"},"replies":[{"text":)"
    R"("<think>\nHm m.\n</think>\n\nOne moment.\n<tool_call>\n{\"name\": \"f\", \"arguments\": )"
    R"({\"a\": [1, 2]}}\n</tool_call>\n<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n)"
    R"(</tool_call>"}]})";
constexpr std::string_view kTwoTools = R"(,"tools":[{"type":"function","function":{"name":"f"}},)"
                                       R"({"type":"function","function":{"name":"g"}}])";

TEST_F(ScriptedServerTest, AnswersWholeAndStreamed) {
  start(R"({"replies": [{"text": "one two three"}]})");
  const Json whole = post(chat("hi")).json();
  EXPECT_EQ(whole["choices"][0]["message"]["content"], "one two three");
  EXPECT_EQ(whole["usage"]["completion_tokens"], 3);
  const TestReply streamed = post(chat("hi", R"(,"stream":true)"));
  EXPECT_TRUE(streamed.is_complete);
  EXPECT_TRUE(streamed.body.ends_with("data: [DONE]\n\n"));
  EXPECT_NE(streamed.body.find(R"("content":"two ")"), std::string::npos) << streamed.body;
}

TEST_F(ScriptedServerTest, StopMaxTokensAndLogprobsReachTheEngine) {
  start(R"({"replies": [{"text": "one two three"}]})");
  EXPECT_EQ(post(chat("x", R"(,"stop":"wo t")")).json()["choices"][0]["message"]["content"],
            "one t");
  const Json cut = post(chat("x", R"(,"max_tokens":1,"logprobs":true,"top_logprobs":2)")).json();
  EXPECT_EQ(cut["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(cut["choices"][0]["logprobs"]["content"][0]["top_logprobs"].size(), 2u);
}

TEST_F(ScriptedServerTest, TheEnginesRefusalsKeepTheirField) {
  start(R"({"card": {"n_ctx": 10, "n_vocab": 300}, "echo": true})");
  const TestReply too_long = post(chat("a prompt that does not fit into ten tokens"));
  EXPECT_EQ(too_long.status, 400);
  EXPECT_EQ(too_long.json()["error"]["code"], "context_length_exceeded");
  EXPECT_EQ(too_long.json()["error"]["param"], "messages");
  const TestReply bias = post(chat("x", R"(,"logit_bias":{"300":1})"));
  EXPECT_EQ(bias.status, 400);
  EXPECT_EQ(bias.json()["error"]["param"], "logit_bias") << bias.body;
}

// No answer begins before all four run: a server that answered one after another would hang.
TEST_F(ScriptedServerTest, SeveralAtOnce) {
  start(R"({"replies": [{"text": "done", "start_when_running": 4}]})");
  std::vector<std::future<TestReply>> replies;
  for (int i = 0; i < 4; ++i) {
    replies.push_back(std::async(std::launch::async, [this] { return post(chat("together")); }));
  }
  for (auto& reply : replies) {
    EXPECT_EQ(reply.get().json()["choices"][0]["message"]["content"], "done");
  }
}

TEST_F(ScriptedServerTest, AClientThatGoesAwayFreesItsWork) {
  start(R"({"replies": [{"match": "stall", "text": "a b", "fault": "stall", "fault_after": 1},
                        {"text": "fine"}]})");
  for (const char* more : {R"(,"stream":true)", R"(,"stream":true,"n":3)", ""}) {
    TestClient client(server_->port());
    client.send_post("/v1/chat/completions", chat("stall", more));
    wait_for_engine([](const Json& engine) { return engine["n_running"] > 0; });
    client.close();
    wait_for_engine([](const Json& engine) { return engine["n_running"] == 0; });
  }
  EXPECT_EQ(post(chat("x")).json()["choices"][0]["message"]["content"], "fine");
}

TEST_F(ScriptedServerTest, AnEngineErrorInMidStreamIsAnEvent) {
  start(R"({"replies": [{"text": "a b c", "fault": "error", "fault_after": 2, "error": "oops"}]})");
  const TestReply reply = post(chat("x", R"(,"stream":true)"));
  EXPECT_EQ(reply.status, 200);
  EXPECT_TRUE(reply.is_complete);
  EXPECT_NE(reply.body.find(R"("error":{"message":"oops")"), std::string::npos) << reply.body;
  EXPECT_EQ(reply.body.find("[DONE]"), std::string::npos);
}

TEST_F(ScriptedServerTest, AnEngineThatDiesIsAnErrorNowAndLater) {
  start(R"({"replies": [{"text": "a b c", "fault": "die", "fault_after": 1}]})");
  const TestReply first = post(chat("x", R"(,"stream":true)"));
  EXPECT_TRUE(first.is_complete);
  EXPECT_NE(first.body.find(R"("code":"unavailable")"), std::string::npos) << first.body;
  const TestReply later = post(chat("x"));
  EXPECT_EQ(later.status, 503);
  EXPECT_NE(later.header("retry-after"), "");
}

TEST_F(ScriptedServerTest, CompletionsEchoTokenPrompts) {
  start(R"({"replies": [{"text": " there"}]})");
  const Json json =
      post(R"({"model":"scripted","prompt":[104,105],"echo":true})", "/v1/completions").json();
  EXPECT_EQ(json["choices"][0]["text"], "hi there");
}

TEST_F(ScriptedServerTest, MetricsCountWhatTheClientsSaw) {
  start(R"({"replies": [{"text": "one two three"}]})");
  EXPECT_EQ(post(chat("x")).status, 200);
  EXPECT_EQ(post(chat("x", R"(,"stream":true)")).status, 200);
  const TestReply reply = TestClient(server_->port()).get("/metrics");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  for (const char* line : {"maru_choices_total{model=\"scripted\",outcome=\"stop\"} 2\n",
                           "maru_first_token_seconds_count{model=\"scripted\"} 2\n",
                           "maru_between_tokens_seconds_count{model=\"scripted\"} 4\n",
                           "maru_requests_running{model=\"scripted\"} 0\n"}) {
    EXPECT_NE(reply.body.find(line), std::string::npos) << line << reply.body;
  }
}

TEST_F(ScriptedServerTest, TakesAnAnswerApart) {
  start(std::string(kThinksAndCalls));
  const Json whole = post(chat("hi", std::string(kTwoTools))).json();
  const Json& message = whole["choices"][0]["message"];
  EXPECT_EQ(message["content"], "One moment.");
  EXPECT_EQ(message["reasoning_content"], "Hm m.");
  ASSERT_EQ(message["tool_calls"].size(), 2u);
  EXPECT_EQ(message["tool_calls"][0]["function"],
            Json::parse(R"({"name":"f","arguments":"{\"a\": [1, 2]}"})"));
  EXPECT_EQ(message["tool_calls"][1]["function"], Json::parse(R"({"name":"g","arguments":"{}"})"));
  EXPECT_NE(message["tool_calls"][0]["id"], message["tool_calls"][1]["id"]);
  EXPECT_EQ(whole["choices"][0]["finish_reason"], "tool_calls");
  const Json& usage = whole["usage"];
  EXPECT_GT(usage["completion_tokens_details"]["reasoning_tokens"], 0);
  EXPECT_LT(usage["completion_tokens_details"]["reasoning_tokens"], usage["completion_tokens"]);
}

TEST_F(ScriptedServerTest, AStreamOfPartsIsTheWholeAnswer) {
  start(std::string(kThinksAndCalls));
  const TestReply reply = post(chat("hi", std::string(kTwoTools) + R"(,"stream":true)"));
  std::string content, reasoning;
  std::vector<std::string> names, arguments;
  Json finish;
  for (const Json& event : events_of(reply)) {
    if (event == "[DONE]") continue;
    const Json& choice = event["choices"][0];
    const Json& delta = choice["delta"];
    content += delta.value("content", "");
    reasoning += delta.value("reasoning_content", "");
    if (!choice["finish_reason"].is_null()) finish = choice["finish_reason"];
    for (const Json& call : delta.value("tool_calls", Json::array())) {
      const size_t index = call["index"];
      if (call.contains("id")) {
        EXPECT_EQ(index, names.size());
        EXPECT_EQ(call["type"], "function");
        names.push_back(call["function"]["name"].get<std::string>());
        arguments.emplace_back();
      }
      ASSERT_EQ(index + 1, names.size());
      arguments[index] += call["function"]["arguments"].get<std::string>();
    }
  }
  EXPECT_EQ(content, "One moment.");
  EXPECT_EQ(reasoning, "Hm m.");
  EXPECT_EQ(names, (std::vector<std::string>{"f", "g"}));
  EXPECT_EQ(arguments, (std::vector<std::string>{R"({"a": [1, 2]})", "{}"}));
  EXPECT_EQ(finish, "tool_calls");
}

TEST_F(ScriptedServerTest, WithoutToolsACallIsText) {
  start(std::string(kThinksAndCalls));
  const Json whole = post(chat("hi")).json();
  EXPECT_NE(whole["choices"][0]["message"]["content"].get<std::string>().find("<tool_call>"),
            std::string::npos);
  EXPECT_EQ(whole["choices"][0]["finish_reason"], "stop");
}

}  // namespace
}  // namespace maru::serve::openai
