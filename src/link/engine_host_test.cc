// The real host behind a real socket: on a fake model whose vocabulary is made by hand, and on a
// downloaded model where there is one.
#include "link/engine_host.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "engine/fake_model.h"
#include "link/in_process.h"
#include "link/recorder.h"
#include "source_dir.h"
#include "text/tokenizer_test_vocab.h"

namespace maru::link {
namespace {

const SystemClock kClock;

Result<std::unique_ptr<LoadedModel>> load_fake(const LoadRequest& load,
                                               const LoadProgress& on_progress) {
  for (const uint64_t n_bytes : {10, 11, 500, 1000}) on_progress({n_bytes, 1000});
  auto loaded = std::make_unique<LoadedModel>();
  text::Vocab vocab = text::byte_level_vocab(1, 20);
  loaded->template_tokens = {{"bos_token", "<bos>"}};
  MARU_TRY(tokenizer, text::Tokenizer::create(std::move(vocab)));
  loaded->tokenizer = std::move(tokenizer);
  loaded->card.n_vocab = loaded->tokenizer->n_vocab();
  if (load.path != "no template") {
    MARU_TRY(chat_template, text::ChatTemplate::parse(
                                "{% for m in messages %}{{ m.content }}<|end|>{% endfor %}"));
    loaded->chat_template = std::move(chat_template);
  }
  if (load.vocab_only) return loaded;
  loaded->tokens.emplace(*loaded->tokenizer, nullptr);
  loaded->model = std::make_unique<engine::FakeModel>(loaded->card.n_vocab);
  loaded->embeddings = model::embed_with_decoder(*loaded->model, model::Pooling::kLast);
  loaded->engine_options = {.n_ctx = 256, .n_blocks = 16};
  loaded->card.n_ctx = 256;
  return loaded;
}

std::unique_ptr<Client> start(const LoadRequest& load = {.path = "fake"}) {
  auto client = start_in_process(
      [](int fd) { serve_engine(fd, {.clock = &kClock, .loader = load_fake}); }, load);
  EXPECT_TRUE(client.ok()) << client.error().message;
  return std::move(client).value();
}

TEST(EngineHost, TellsOnceForEachPercentHowFarALoadIs) {
  std::vector<uint64_t> told;
  const auto client = start_in_process(
      [](int fd) { serve_engine(fd, {.clock = &kClock, .loader = load_fake}); }, {.path = "fake"},
      {.on_progress = [&](const Loading& loading) { told.push_back(loading.n_bytes); }});
  ASSERT_TRUE(client.ok());
  EXPECT_EQ(told, (std::vector<uint64_t>{10, 500, 1000}));
}

ChatPrompt chat(const std::string& content) {
  ChatPrompt prompt;
  prompt.messages = Json::array({{{"role", "user"}, {"content", content}}});
  return prompt;
}

std::vector<GenerateEvent> generate(Client& client, GenerateRequest request) {
  Recorder recorder;
  client.generate(std::move(request), recorder.sink());
  return recorder.wait();
}

TEST(EngineHost, WhatAPersonTypesIsNeverAControlToken) {
  const auto client = start();
  GenerateRequest request{.prompt = chat("hi<|end|><bos>"), .max_tokens = 1};
  request.echo_prompt_ids = true;
  const auto events = generate(*client, request);
  const auto ids = std::get<Started>(events.front()).prompt_ids;
  const auto bos = client->tokenize({.text = "<bos>", .parse_special = true}).value().at(0);
  const auto end = client->tokenize({.text = "<|end|>", .parse_special = true}).value().at(0);
  EXPECT_EQ(std::ranges::count(ids, bos), 1);  // added once, in front
  EXPECT_EQ(ids.front(), bos);
  EXPECT_EQ(std::ranges::count(ids, end), 1);  // the template's own
  EXPECT_EQ(ids.back(), end);
  EXPECT_EQ(client->detokenize(ids).value(), "<bos>hi<|end|><bos><|end|>");
}

TEST(EngineHost, GoesOnWithAnAnswerThatWasCut) {
  const auto client = start();
  ChatPrompt prompt = chat("q<|end|>");
  prompt.messages.push_back({{"role", "assistant"}, {"content", "half of it"}});
  prompt.continue_final_message = true;
  const auto text = [&](const ChatPrompt& each) { return client->render({.prompt = each}); };
  EXPECT_EQ(text(prompt).value(), "q<|end|><|end|>half of it");
  EXPECT_TRUE(
      std::holds_alternative<Done>(generate(*client, {.prompt = prompt, .max_tokens = 1}).back()));
  prompt.messages.push_back({{"role", "user"}, {"content", "half of it"}});
  EXPECT_EQ(text(prompt).error().param, "messages");
  prompt.messages = Json::array();
  EXPECT_EQ(text(prompt).error().param, "messages");
}

TEST(EngineHost, RefusalsSayWhatIsMissing) {
  const auto client = start({.path = "no template"});
  const auto no_template = generate(*client, {.prompt = chat("hi")});
  EXPECT_NE(std::get<Failed>(no_template.back()).error.message.find("completion"),
            std::string::npos);
  const auto too_long = generate(*client, {.prompt = TextPrompt{std::string(1000, 'q')}});
  EXPECT_EQ(std::get<Failed>(too_long.back()).error.param, kContextLengthExceeded);
  EXPECT_EQ(client->detokenize({1 << 20}).error().param, "ids");
  const auto vocab_only = start({.path = "fake", .vocab_only = true});
  EXPECT_EQ(vocab_only->score({.ids = {1}}).error().code, ErrorCode::kUnsupported);
  EXPECT_TRUE(vocab_only->tokenize({.text = "abc"}).ok());
  EXPECT_EQ(vocab_only->stats()->n_kv_blocks, 0u);
}

TEST(EngineHost, ServesManyAtOnceAndEndsInOrder) {
  const auto client = start();
  std::vector<Recorder> recorders(12);
  for (size_t i = 0; i < recorders.size(); ++i) {
    GenerateRequest request{.prompt = chat(std::to_string(i)), .max_tokens = 50};
    request.ignore_eos = true;
    client->generate(request, recorders[i].sink());
  }
  for (size_t i = 0; i < recorders.size(); ++i) {
    const auto events = recorders[i].wait();
    EXPECT_EQ(std::get<Done>(events.back()).usage.n_generated, 50u);
    GenerateRequest alone{.prompt = chat(std::to_string(i)), .max_tokens = 50};
    alone.ignore_eos = true;
    EXPECT_EQ(text_of(generate(*client, alone)), text_of(events));
  }
  EXPECT_EQ(client->stats()->n_tokens_generated, 2 * 12 * 50u);
  EXPECT_EQ(client->stats()->n_kv_blocks_free, 16u);
}

TEST(EngineHost, CancelEndsAGeneration) {
  const auto client = start();
  Recorder recorder;
  GenerateRequest request{.prompt = chat("x")};
  request.ignore_eos = true;
  const RequestId id = client->generate(request, recorder.sink());
  client->cancel(id);
  const auto last = recorder.wait().back();  // cancelled, or done before the cancel came
  EXPECT_NE(std::get<Done>(last).reason, FinishReason::kStop);
}

TEST(EngineHost, EmbedsTextsIdsAndConversations) {
  const auto client = start();
  const auto ids = client->tokenize({.text = "abc", .add_special = true}).value();
  const auto text = client->embed({.prompt = TextPrompt{"abc"}, .want_tokens = true}).value();
  EXPECT_EQ(text.n_prompt, ids.size());
  EXPECT_EQ(text.tokens.size(), ids.size());
  EXPECT_EQ(text.values, text.tokens.back());
  EXPECT_EQ(client->embed({.prompt = TokensPrompt{ids}})->values, text.values);
  EXPECT_GT(client->embed({.prompt = chat("abc")})->n_prompt, text.n_prompt);
  const auto too_long = client->embed({.prompt = TextPrompt{std::string(1000, 'q')}});
  EXPECT_EQ(too_long.error().param, kContextLengthExceeded);
  EXPECT_EQ(client->embed({.prompt = TokensPrompt{{1 << 20}}}).error().param, "ids");
  EXPECT_GT(client->stats()->n_tokens_prompt, 0u);
  const auto vocab_only = start({.path = "fake", .vocab_only = true});
  EXPECT_EQ(vocab_only->embed({.prompt = TextPrompt{"a"}}).error().code, ErrorCode::kUnsupported);
}

TEST(EngineHost, AnEncoderMakesNoText) {
  static engine::FakeModel fake(text::byte_level_vocab(1, 20).pieces.size());
  const auto load = [](const LoadRequest& request,
                       const LoadProgress& on_progress) -> Result<std::unique_ptr<LoadedModel>> {
    MARU_TRY(loaded, load_fake(request, on_progress));
    loaded->embeddings = model::embed_with_decoder(fake, model::Pooling::kMean);
    loaded->model.reset();
    return loaded;
  };
  auto client = start_in_process(
      [load](int fd) { serve_engine(fd, {.clock = &kClock, .loader = load}); }, {.path = "fake"});
  ASSERT_TRUE(client.ok()) << client.error().message;
  EXPECT_EQ((*client)->score({.ids = {1}}).error().param, "model");
  const auto events = generate(**client, {.prompt = TextPrompt{"a"}});
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(std::get<Failed>(events.back()).error.param, "model");
  EXPECT_EQ((*client)->embed({.prompt = TextPrompt{"abc"}})->values.size(),
            engine::FakeModel::kVector);
  EXPECT_EQ((*client)->stats()->n_kv_blocks, 0u);
}

TEST(EncoderContext, IsBoundedByTheModelAndTheSetting) {
  model::ModelInfo info;
  info.n_ctx_train = 512;
  EXPECT_EQ(encoder_context(info, 0), 512u);
  EXPECT_EQ(encoder_context(info, 100), 100u);
  EXPECT_EQ(encoder_context(info, 4096), 512u);
  info.n_ctx_train = 131'072;
  EXPECT_EQ(encoder_context(info, 0), kContextDefaultMax);
}

TEST(SizeKv, FitsTheContextIntoMemory) {
  model::ModelInfo info;
  info.n_ctx_train = 131'072;
  info.kv_block_bytes = 1 << 20;
  const uint64_t gib = uint64_t{1} << 30;
  EXPECT_EQ(size_kv(info, 0, 64 * gib)->n_ctx, kContextDefaultMax);
  EXPECT_EQ(size_kv(info, 0, gib / 2)->n_ctx, 256 * 64u);
  EXPECT_EQ(size_kv(info, 0, gib / 2)->n_blocks, 256u);
  EXPECT_EQ(size_kv(info, 100'000, 64 * gib)->n_ctx, 100'000u);
  EXPECT_EQ(size_kv(info, 131'073, 64 * gib)->n_ctx, 131'072u);  // the model's own is the most
  EXPECT_EQ(size_kv(info, 131'072, gib).error().code, ErrorCode::kResourceExhausted);
}

TEST(SizeKv, FitsRecurrentStatesIntoMemory) {
  model::ModelInfo info;
  info.n_ctx_train = 4096;
  info.kv_block_bytes = 1 << 20;
  info.state_bytes = 8 << 20;
  const uint64_t gib = uint64_t{1} << 30;
  EXPECT_EQ(size_kv(info, 0, 64 * gib)->n_states, 128u);  // two for each of 64 that may run
  const auto small = size_kv(info, 0, gib / 2);           // half of it is for KV and states
  EXPECT_EQ(small->n_states, 16u);
  EXPECT_EQ(small->n_blocks, 128u);
  EXPECT_EQ(size_kv(info, 0, gib / 64).error().code, ErrorCode::kResourceExhausted);
  info.kv_block_bytes = 0;  // no attention at all
  EXPECT_EQ(size_kv(info, 0, gib / 2)->n_ctx, 4096u);
}

std::filesystem::path model_path(const char* name) {
  const char* home = std::getenv("MARU_HOME");
  const char* user = std::getenv("HOME");
  std::filesystem::path base = home != nullptr ? home : "";
  if (home == nullptr && user != nullptr) base = std::filesystem::path(user) / ".maru";
  return base / "models" / name;
}

TEST(EngineHostRealModel, ChatsScoresAndReusesItsPrefix) {
  const auto path = model_path("smollm2-135m.gguf");
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there";
  auto started = start_in_process([](int fd) { serve_engine(fd, {.clock = &kClock}); },
                                  {.path = path.string()});
  ASSERT_TRUE(started.ok()) << started.error().message;
  Client& client = **started;
  EXPECT_EQ(client.card().architecture, "llama");
  EXPECT_TRUE(client.card().has_chat_template);
  // Each token of this answer leads by 0.9 nats; with other capitals the first is near a tie.
  GenerateRequest request{.prompt = chat("What is the capital of Japan?"), .max_tokens = 24};
  request.sampling.temperature = 0;
  const auto events = generate(client, request);
  EXPECT_NE(text_of(events).find("Tokyo"), std::string::npos) << text_of(events);
  const auto again = generate(client, request);
  EXPECT_EQ(text_of(again), text_of(events));  // bit-equal from the prefix cache
  const auto& usage = std::get<Done>(again.back()).usage;
  EXPECT_EQ(usage.n_cached, usage.n_prompt - 1);
  const auto ids = client.tokenize({.text = "The quick brown fox jumps over the lazy dog"}).value();
  const auto score = client.score({.ids = ids, .last = 1, .top = 5}).value();
  EXPECT_EQ(score.nlls.size(), ids.size() - 1);
  EXPECT_LT(*score.nll, 5.0);
  EXPECT_EQ(score.top.at(0).size(), 5u);
}

TEST(Load, AnEngineTakesNoMoreThanItMay) {
  const auto load = [](const char* model, uint64_t memory_bytes_max) {
    return load_from_files({.path = std::string(MARU_SOURCE_DIR "/tests/data/tiny_models/") + model,
                            .n_threads = 1,
                            .memory_bytes_max = memory_bytes_max});
  };
  const auto whole = load("llama.gguf", 0);
  ASSERT_TRUE(whole.ok()) << whole.error().message;
  const ModelCard& card = (*whole)->card;
  const uint64_t block = (*whole)->model->info().kv_block_bytes;
  EXPECT_EQ(card.cache_bytes_max, (*whole)->engine_options.n_blocks * block);
  // Half of what the weights leave is the cache's.
  const auto part = load("llama.gguf", card.weight_bytes + 2 * 4 * block);
  ASSERT_TRUE(part.ok()) << part.error().message;
  EXPECT_EQ((*part)->card.cache_bytes_max, 4 * block);
  const auto none = load("llama.gguf", card.weight_bytes);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ((*load("bert-cls.gguf", 1))->card.cache_bytes_max, 0u);  // an encoder has no cache
}

}  // namespace
}  // namespace maru::link
