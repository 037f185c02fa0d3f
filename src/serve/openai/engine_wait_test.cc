// serve/openai/engine_wait_test.cc - requests whose model is loaded meanwhile, over a real socket,
// with the load in the test's hands.
#include "serve/openai/engine_wait.h"

#include <gtest/gtest.h>

#include <condition_variable>

#include "serve/openai/fake_client.h"
#include "serve/openai/routes.h"
#include "serve/openai/test_services.h"
#include "serve/test_client.h"

namespace maru::serve::openai {
namespace {

class EngineWaitTest : public ::testing::Test {
 protected:
  EngineWaitTest() {
    engine_->card_.has_chat_template = true;
    ServerOptions options = test_server_options();
    options.limits.stop_grace = std::chrono::milliseconds(10);
    auto services = std::make_shared<Services>();
    services->models = [] {
      ModelInfo model;
      model.id = "m";
      model.kind = "chat";
      return std::vector<ModelInfo>{model};
    };
    services->model_sha256 = [](const std::string&) {
      return Result<std::vector<std::string>>(std::vector<std::string>{"abc"});
    };
    services->pullable = [] { return std::vector<std::string>{}; };
    services->engine = [this](const std::string&, link::EngineWaiter waiter) {
      const std::lock_guard lock(mutex_);
      waiters_.push_back(std::move(waiter));
      changed_.notify_all();
    };
    services->engines = [this] {
      link::EngineStatus engine;
      engine.residency = {.model = "m", .state = state_, .n_waiting = 2, .bytes = 5};
      engine.loading = {.n_bytes = 1, .n_bytes_total = 4};
      return std::vector<link::EngineStatus>{engine};
    };
    services->clock = &clock_;
    services->random = options.random;
    Router router;
    add_routes(router, services);
    server_ = std::move(Server::start(options, std::move(router))).value();
  }
  ~EngineWaitTest() override {
    waiters_.clear();
    server_.reset();
    engine_->drop_sinks();
  }

  link::EngineWaiter waiter(size_t i) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiters_.size() > i; });
    return std::move(waiters_[i]);
  }
  std::unique_ptr<TestClient> begin(const std::string& more) {
    auto client = std::make_unique<TestClient>(server_->port());
    client->send_post("/v1/chat/completions",
                      R"({"model":"m","messages":[{"role":"user","content":"hi"}])" + more + "}");
    return client;
  }

  const std::shared_ptr<FakeClient> engine_ = std::make_shared<FakeClient>();
  ManualClock clock_;
  link::ModelState state_ = link::ModelState::kLoading;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<link::EngineWaiter> waiters_;
  std::unique_ptr<Server> server_;
};

void finish(FakeClient& engine, size_t i) {
  engine.emit(i, link::Started{});
  link::Delta delta;
  delta.text = "yes";
  engine.emit(i, std::move(delta));
  engine.emit(i, link::Done{});
}

TEST_F(EngineWaitTest, AShortLoadShowsNothingAndALongOneComments) {
  auto client = begin(R"(,"stream":true,"store":true)");
  auto load = waiter(0);
  load.on_progress({.n_bytes = 1, .n_bytes_total = 10});
  load.on_ready(ClientResult(engine_));
  finish(*engine_, 0);
  const std::string quick = client->read_reply().body;
  EXPECT_TRUE(quick.starts_with("data: ")) << quick;

  client = begin(R"(,"stream":true,"store":true)");
  load = waiter(1);
  load.on_progress({.n_bytes = 1, .n_bytes_total = 10});
  clock_.advance_ns(kQuietLoadNs);
  load.on_progress({.n_bytes = 2, .n_bytes_total = 10});
  load.on_progress({.n_bytes = 9, .n_bytes_total = 10});
  load.on_ready(ClientResult(engine_));
  finish(*engine_, 1);
  const TestReply slow = client->read_reply();
  EXPECT_TRUE(slow.is_complete);
  EXPECT_TRUE(slow.body.starts_with(": loading 20%\n\n: loading 90%\n\ndata: ")) << slow.body;
  EXPECT_TRUE(slow.body.ends_with("data: [DONE]\n\n"));
  // The ids differ; what was ignored is named in both.
  for (const std::string& body : {quick, slow.body}) {
    EXPECT_NE(body.find(R"("ignored_params":["store"])"), std::string::npos) << body;
  }
}

TEST_F(EngineWaitTest, AWholeAnswerWaitsForItsStatus) {
  auto client = begin("");
  auto load = waiter(0);
  clock_.advance_ns(kQuietLoadNs);
  load.on_progress({.n_bytes = 2, .n_bytes_total = 10});
  load.on_ready(ClientResult(engine_));
  finish(*engine_, 0);
  EXPECT_EQ(client->read_reply().json()["choices"][0]["message"]["content"], "yes");
}

TEST_F(EngineWaitTest, WhyALoadFailedIsTheAnswer) {
  auto client = begin(R"(,"stream":true)");
  waiter(0).on_ready(Error::unsupported("no such family"));
  const TestReply reply = client->read_reply();
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.json()["error"]["message"], "no such family");
  client = begin("");
  waiter(1).on_ready(Error::unavailable("no room"));
  EXPECT_EQ(client->read_reply().status, 503);
  client = begin(R"(,"stream":true)");
  auto load = waiter(2);
  clock_.advance_ns(kQuietLoadNs);
  load.on_progress({.n_bytes = 2, .n_bytes_total = 10});
  load.on_ready(Error::corrupt("torn"));
  const TestReply late = client->read_reply();
  EXPECT_EQ(late.status, 200);
  EXPECT_TRUE(late.is_complete);
  EXPECT_NE(late.body.find(R"(data: {"error":{"message":"torn")"), std::string::npos) << late.body;
}

TEST_F(EngineWaitTest, AnEngineThatCannotDoItSaysSo) {
  engine_->card_.generates = false;
  auto client = begin("");
  waiter(0).on_ready(ClientResult(engine_));
  EXPECT_EQ(client->read_reply().status, 400);
}

TEST_F(EngineWaitTest, AServerThatStopsAnswersWhoWaits) {
  auto client = begin("");
  auto streaming = begin(R"(,"stream":true)");
  auto first = waiter(0);
  auto second = waiter(1);
  clock_.advance_ns(kQuietLoadNs);
  first.on_progress({.n_bytes = 2, .n_bytes_total = 10});
  second.on_progress({.n_bytes = 2, .n_bytes_total = 10});
  server_->stop();
  EXPECT_EQ(client->read_reply().status, 503);
  const TestReply reply = streaming->read_reply();
  EXPECT_NE(reply.body.find("the server is stopping"), std::string::npos) << reply.body;
  first.on_ready(ClientResult(engine_));  // too late: nothing begins
  second.on_ready(ClientResult(engine_));
  EXPECT_EQ(engine_.use_count(), 1);
}

TEST_F(EngineWaitTest, TheLoadIsSeenByAll) {
  TestClient client(server_->port());
  const Json model = client.get("/v1/models/m").json();
  EXPECT_EQ(model["meta"]["state"], "loading");
  EXPECT_EQ(model["meta"]["progress"], 0.25);
  EXPECT_EQ(model["meta"]["loaded"], false);
  const TestReply loading = client.get("/health/m");
  EXPECT_EQ(loading.status, 503);
  EXPECT_EQ(loading.json()["progress"], 0.25);
  EXPECT_EQ(client.get("/health/other").status, 404);
  const Json engine = client.get("/maru/engines").json()["engines"][0];
  EXPECT_EQ(engine["ready"], false);
  EXPECT_EQ(engine["n_waiting_for_load"], 2);
  const std::string metrics = client.get("/metrics").body;
  EXPECT_NE(metrics.find("maru_engine_load_progress{model=\"m\"} 0.25\n"), std::string::npos);
  EXPECT_NE(metrics.find("maru_engine_ready{model=\"m\"} 0\n"), std::string::npos) << metrics;
  state_ = link::ModelState::kReady;
  EXPECT_EQ(client.get("/health/m").status, 200);
}

}  // namespace
}  // namespace maru::serve::openai
