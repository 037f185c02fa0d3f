// link/wire_samples.h - one of each message with every field set, for wire_test and wire_fuzz.
#pragma once
#include <cmath>
#include <vector>

#include "link/wire.h"

namespace maru::link {

inline engine::SamplingParams sample_sampling() {
  engine::SamplingParams p;
  p.temperature = 0.7f;
  p.top_k = 12;
  p.logit_bias = {{3, -1.5f}, {9, 100.0f}};
  p.seed = 0xFFFFFFFFFFFFFFFFu;
  p.n_logprobs = 2;
  p.want_logprobs = true;
  return p;
}

inline std::vector<Command> sample_commands() {
  ChatPrompt chat;
  chat.messages = Json::parse(R"([{"role": "user", "content": "안녕"}])");
  chat.tools = Json::parse(R"([{"type": "function"}])");
  chat.template_kwargs = {{"thinking", false}};
  chat.continue_final_message = true;
  GenerateRequest chat_request{.prompt = chat, .sampling = sample_sampling(), .stop = {"\n", "끝"}};
  chat_request.max_tokens = 7;
  chat_request.cache_salt = "salt";
  chat_request.prediction = "def f(x):\n";
  chat_request.grammar = {grammar::GrammarKind::kChoice, "s", {"a", "b"}};
  chat_request.now_unix_seconds = 1'764'316'800;
  chat_request.calls = {1, 2, {"f", "g"}};
  chat_request.adapter = "pirate";
  chat_request.claim = {"u1", 7, engine::WorkClass::kBackground};
  GenerateRequest text_request{.prompt = TextPrompt{"half \xEB\xA7", true, false}};
  text_request.echo_prompt_ids = true;
  GenerateRequest ids_request{.prompt = TokensPrompt{{0, 5, 2147483647}}};
  ids_request.ignore_eos = true;
  ids_request.want_progress = true;
  ids_request.keep_kv = false;
  LoadRequest load{"/m.gguf", 2,     4096,      "avx2",  1 << 29,
                   true,      false, "t.jinja", 1 << 30, std::string(32, '\xFE')};
  load.adapters = {{"pirate", "/p.gguf"}, {"x", "/x.gguf"}};
  return {Hello{},
          load,
          chat_request,
          text_request,
          ids_request,
          ScoreRequest{{1, 2, 3}, 0, 50},
          EmbedRequest{TextPrompt{"abc"}, "q \xFE", model::Pooling::kCls, true, true},
          TokenizeRequest{"\xFF text", true, true},
          DetokenizeRequest{{1, 2}},
          RenderRequest{chat, -5, {{"bos_token", "<s>"}}},
          StatsRequest{},
          PingRequest{},
          CancelRequest{},
          ReservedRequest{"rerank"}};
}

inline std::vector<EventBody> sample_events() {
  ModelCard card;
  card.architecture = "qwen2";
  card.name = "n";
  card.isa = "avx512";
  card.n_ctx = 4096;
  card.n_ctx_train = 32768;
  card.n_vocab = 151936;
  card.d_model = 1536;
  card.n_params = 1'500'000'000;
  card.weight_bytes = 0xFFFFFFFFFFFFFFFFu;
  card.cache_bytes_max = 7;
  card.bytes_per_token = 900'000'000;
  card.macs_per_token = 1'300'000'000;
  card.has_chat_template = true;
  card.template_sha256 = "e3b0";
  card.generates = false;
  card.pooling = "mean";
  card.call_format = "hermes";
  card.reasoning_format = "think";
  card.adapters = {{"pirate", "e3b0"}};
  card.load_seconds = 0.25;
  card.sandbox = "seccomp";
  Delta delta{"안", {5}, {{{5, -0.5f, "\xEC\x95"}, {{5, -0.5f, "\xEC\x95"}, {6, -2.25f, "b"}}}}};
  return {Hello{},
          card,
          Started{3, {1, 2, 3}, true},
          Progress{2, 1, 3, 0.5},
          delta,
          Done{FinishReason::kLength, "끝", {3, 1, 2, 5, 4, 0.5, 0.25, 0.125}},
          Failed{Error::invalid("wrong", "sampling.top_p"), 2.5},
          engine::ScoreRow{{{1, -0.25f}, {2, -INFINITY}}},
          engine::ScoreDone{{0.1, INFINITY, 1e-300}},
          engine::EmbedRow{{0.1f, -1e-30f}},
          engine::EmbedDone{{0.25f, -3.0f}, 4},
          TokenIds{{7, 8}},
          Bytes{"\xFF\x00z"},
          EngineStats{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
          Loading{8, 9},
          Pong{10}};
}

}  // namespace maru::link
