// serve/openai/vectors_test.cc - /v1/embeddings and /v1/rerank over a real socket, with the
// engine's results given by hand; their vectors are tested on real models (tests/serve).
#include "serve/openai/vectors.h"

#include <gtest/gtest.h>

#include "base/base64.h"
#include "serve/openai/embeddings.h"
#include "serve/openai/fake_client.h"
#include "serve/openai/rerank.h"
#include "serve/openai/routes.h"
#include "serve/openai/test_services.h"
#include "serve/test_client.h"

namespace maru::serve::openai {
namespace {

class VectorsTest : public ::testing::Test {
 protected:
  VectorsTest() {
    engine_->card_.generates = false;
    engine_->card_.pooling = "mean";
    engine_->card_.d_model = 4;
    chat_->card_.has_chat_template = true;
    const ServerOptions options = test_server_options();
    auto services = std::make_shared<Services>();
    services->models = [] {
      std::vector<ModelInfo> models(3);
      models[0].id = "embed:1b";
      models[0].kind = "embedding";
      models[0].architecture = "bert";
      models[1].id = "chat:1b";
      models[1].kind = "chat";
      models[1].architecture = "llama";
      models[2].id = "file";
      models[2].kind = "chat";
      return models;
    };
    services->model_sha256 = [](const std::string&) {
      return Result<std::vector<std::string>>(std::vector<std::string>{"abc"});
    };
    services->pullable = [] { return std::vector<std::string>{}; };
    services->engine =
        by_id([this](const std::string& id) -> Result<std::shared_ptr<link::Client>> {
          ++n_loaded_;
          return std::shared_ptr<link::Client>(id == "embed:1b" ? engine_ : chat_);
        });
    services->engines = ready_engines(
        [] { return std::vector<std::pair<std::string, std::shared_ptr<link::Client>>>{}; });
    services->clock = options.clock;
    services->random = options.random;
    Router router;
    add_routes(router, services);
    server_ = std::move(Server::start(options, std::move(router))).value();
  }
  ~VectorsTest() override {
    server_.reset();
    engine_->drop_sinks();
  }

  // Sends a body and leaves the connection open.
  std::unique_ptr<TestClient> begin(const std::string& path, const std::string& body) {
    auto client = std::make_unique<TestClient>(server_->port());
    client->send_post(path, body);
    return client;
  }
  TestReply post(const std::string& path, const std::string& body) {
    return TestClient(server_->port()).post(path, body);
  }
  void expect_refused(const std::string& path, const std::string& body, const std::string& param) {
    const TestReply reply = post(path, body);
    EXPECT_EQ(reply.status, 400) << body << reply.body;
    EXPECT_EQ(reply.json()["error"]["param"], param) << body << reply.body;
  }

  std::shared_ptr<FakeClient> engine_ = std::make_shared<FakeClient>();
  std::shared_ptr<FakeClient> chat_ = std::make_shared<FakeClient>();
  std::atomic<size_t> n_loaded_ = 0;
  std::unique_ptr<Server> server_;
};

TEST_F(VectorsTest, EmbeddingsOfSeveralTexts) {
  auto client = begin("/v1/embeddings", R"({"model":"embed:1b","input":["a","b"],"user":"u"})");
  EXPECT_EQ(std::get<link::TextPrompt>(engine_->embed_request(0).prompt).text, "a");
  EXPECT_FALSE(engine_->embed_request(1).normalize);
  engine_->answer_embed(1, link::EmbedResult{.values = {0, 2, 0, 0}, .n_prompt = 5});
  engine_->answer_embed(0, link::EmbedResult{.values = {3, 0, -4, 0}, .n_prompt = 2});
  const Json reply = client->read_reply().json();
  EXPECT_EQ(reply, Json::parse(R"({"object":"list","data":[
      {"object":"embedding","index":0,"embedding":[0.6000000238418579,0,-0.800000011920929,0]},
      {"object":"embedding","index":1,"embedding":[0,1,0,0]}],"model":"embed:1b",
      "usage":{"prompt_tokens":7,"total_tokens":7},"ignored_params":["user"]})"));
}

TEST_F(VectorsTest, EmbeddingsAreCutBeforeTheyGetTheirLengthOrAreLeftAsTheyAre) {
  auto client = begin("/v1/embeddings", R"({"model":"embed:1b","input":"a","dimensions":2})");
  engine_->answer_embed(0, link::EmbedResult{.values = {3, 4, 12, 0}, .n_prompt = 1});
  EXPECT_EQ(client->read_reply().json()["data"][0]["embedding"],
            Json({0.6000000238418579, 0.800000011920929}));
  client = begin("/v1/embeddings",
                 R"({"model":"embed:1b","input":[7,8],"dimensions":3,"normalize":false})");
  EXPECT_EQ(std::get<link::TokensPrompt>(engine_->embed_request(1).prompt).ids,
            (std::vector<link::TokenId>{7, 8}));
  engine_->answer_embed(1, link::EmbedResult{.values = {3, 4, 12, 0}, .n_prompt = 1});
  EXPECT_EQ(client->read_reply().json()["data"][0]["embedding"], Json({3, 4, 12}));
}

TEST_F(VectorsTest, Base64HasTheNumbersAsTheyLieInMemory) {
  auto client = begin(
      "/v1/embeddings",
      R"({"model":"embed:1b","input":[[1],[2]],"encoding_format":"base64","normalize":false})");
  for (size_t i = 0; i < 2; ++i) {
    engine_->answer_embed(i, link::EmbedResult{.values = {1, -2, 0.5, 0}, .n_prompt = 1});
  }
  const std::string text = client->read_reply().json()["data"][1]["embedding"];
  const std::string want("\0\0\x80\x3F\0\0\0\xC0\0\0\0\x3F\0\0\0\0", 16);
  EXPECT_EQ(decode_base64(text).value(), want);
}

TEST_F(VectorsTest, WhatIsWrongIsNamed) {
  const std::string path = "/v1/embeddings";
  expect_refused(path, R"({"input":"a"})", "model");
  expect_refused(path, R"({"model":"embed:1b"})", "input");
  expect_refused(path, R"({"model":"embed:1b","input":[]})", "input");
  expect_refused(path, R"({"model":"embed:1b","input":[[]]})", "input");
  expect_refused(path, R"({"model":"embed:1b","input":[1,"a"]})", "input");
  expect_refused(path, R"({"model":"embed:1b","input":"a","encoding_format":"int8"})",
                 "encoding_format");
  expect_refused(path, R"({"model":"embed:1b","input":"a","dimensions":5})", "dimensions");
  expect_refused(path, R"({"model":"embed:1b","input":"a","dimensions":0})", "dimensions");
  expect_refused(path, R"({"model":"embed:1b","input":"a","truncate":true})", "truncate");
  const Json many(std::vector<std::string>(kEmbedInputsMax + 1, "a"));
  expect_refused(path, Json{{"model", "embed:1b"}, {"input", many}}.dump(), "input");
  EXPECT_EQ(post(path, R"({"model":"none","input":"a"})").status, 404);

  const std::string rerank = "/v1/rerank";
  expect_refused(rerank, R"({"model":"embed:1b","documents":["a"]})", "query");
  expect_refused(rerank, R"({"model":"embed:1b","query":"q"})", "documents");
  expect_refused(rerank, R"({"model":"embed:1b","query":"q","documents":[]})", "documents");
  expect_refused(rerank, R"({"model":"embed:1b","query":"q","documents":["a",{"x":"y"}]})",
                 "documents[1]");
  expect_refused(rerank, R"({"model":"embed:1b","query":"q","documents":["a"],"top_n":0})",
                 "top_n");
}

TEST_F(VectorsTest, ModelsAreRefusedForWhatTheyDoNotMake) {
  expect_refused("/v1/embeddings", R"({"model":"chat:1b","input":"a"})", "model");
  expect_refused("/v1/rerank", R"({"model":"chat:1b","query":"q","documents":["a"]})", "model");
  expect_refused("/v1/completions", R"({"model":"embed:1b","prompt":"a"})", "model");
  EXPECT_EQ(n_loaded_, 0u);  // the catalogue knew
  expect_refused("/v1/embeddings", R"({"model":"file","input":"a"})", "model");
  EXPECT_EQ(n_loaded_, 1u);
}

TEST_F(VectorsTest, OneBadTextFailsTheRequestAndCancelsTheOthers) {
  auto client = begin("/v1/embeddings", R"({"model":"embed:1b","input":["a","b","c"]})");
  engine_->embed_request(2);
  engine_->answer_embed(1, Error::invalid("too long", std::string(link::kContextLengthExceeded)));
  const TestReply reply = client->read_reply();
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.json()["error"]["code"], "context_length_exceeded");
  EXPECT_EQ(reply.json()["error"]["param"], "input[1]");
  EXPECT_EQ(reply.json()["error"]["message"], "input[1]: too long");
  EXPECT_EQ(engine_->wait_for_cancelled(3), (std::vector<link::RequestId>{1, 2, 3}));
}

TEST_F(VectorsTest, AClientThatGoesAwayCancelsItsTexts) {
  auto client = begin("/v1/embeddings", R"({"model":"embed:1b","input":["a","b"]})");
  engine_->embed_request(1);
  client.reset();
  EXPECT_EQ(engine_->wait_for_cancelled(2), (std::vector<link::RequestId>{1, 2}));
}

TEST_F(VectorsTest, RerankOrdersByTheCosine) {
  auto client = begin("/v1/rerank", R"({"model":"embed:1b","query":"q","top_n":3,
      "documents":["none",{"text":"far"},"near","same"],"return_documents":true})");
  const std::vector<std::vector<float>> vectors = {
      {2, 0, 0, 0}, {0, 0, 0, 0}, {-1, 0, 0, 0}, {3, 4, 0, 0}, {0.5, 0, 0, 0}};
  for (size_t i = 0; i < vectors.size(); ++i) {
    engine_->answer_embed(i, link::EmbedResult{.values = vectors[i], .n_prompt = 2});
  }
  EXPECT_EQ(client->read_reply().json(), Json::parse(R"({"object":"list","model":"embed:1b",
      "results":[{"index":3,"relevance_score":1,"document":{"text":"same"}},
                 {"index":2,"relevance_score":0.6,"document":{"text":"near"}},
                 {"index":0,"relevance_score":0,"document":{"text":"none"}}],
      "usage":{"prompt_tokens":10,"total_tokens":10}})"));
}

TEST_F(VectorsTest, AModelThatRanksScoresPairs) {
  engine_->card_.pooling = "rank";
  auto client = begin("/v1/rerank", R"({"model":"embed:1b","query":"q","documents":["a","b"]})");
  EXPECT_EQ(engine_->embed_request(1).query, "q");
  EXPECT_EQ(std::get<link::TextPrompt>(engine_->embed_request(1).prompt).text, "b");
  engine_->answer_embed(0, link::EmbedResult{.values = {-50}, .n_prompt = 3});
  engine_->answer_embed(1, link::EmbedResult{.values = {0}, .n_prompt = 4});
  const Json reply = client->read_reply().json();
  EXPECT_EQ(reply["results"][0], Json::parse(R"({"index":1,"relevance_score":0.5})"));
  EXPECT_EQ(reply["results"][1]["index"], 0);
  EXPECT_LT(reply["results"][1]["relevance_score"], 1e-20);
  client = begin("/v1/rerank",
                 R"({"model":"embed:1b","query":"q","documents":["a"],"raw_scores":true})");
  engine_->answer_embed(2, link::EmbedResult{.values = {-2.5}, .n_prompt = 3});
  EXPECT_EQ(client->read_reply().json()["results"][0]["relevance_score"], -2.5);
  expect_refused("/v1/embeddings", R"({"model":"embed:1b","input":"a"})", "model");
}

}  // namespace
}  // namespace maru::serve::openai
