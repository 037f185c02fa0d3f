// The client and the scripted engine against each other, over a real socket pair: socket_client.cc,
// in_process.cc, host_io.cc, scripted_engine.cc.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <future>
#include <thread>

#include "base/utf8.h"
#include "link/frame.h"
#include "link/host_io.h"
#include "link/in_process.h"
#include "link/recorder.h"
#include "link/scripted_engine.h"
#include "link/watchdog.h"

namespace maru::link {
namespace {

const SystemClock kClock;

std::unique_ptr<Client> start(const std::string& json) {
  auto script = parse_script(json);
  EXPECT_TRUE(script.ok()) << script.error().message;
  auto client = start_in_process(
      [script = *script](int fd) { serve_scripted(fd, script, {.clock = &kClock}); }, {});
  EXPECT_TRUE(client.ok()) << client.error().message;
  return std::move(client).value();
}

GenerateRequest text_request(const std::string& text) { return {.prompt = TextPrompt{text}}; }

TEST(Client, StreamsAReplyAndEndsItOnce) {
  const auto client = start(R"({"card": {"name": "m", "n_ctx": 99}, "replies":
      [{"match": "hi", "pieces": ["안", "녕 ", "you"]}]})");
  EXPECT_EQ(client->card().name, "m");
  Recorder recorder;
  GenerateRequest request = text_request("hi");
  request.echo_prompt_ids = true;
  client->generate(request, recorder.sink());
  const auto events = recorder.wait();
  EXPECT_EQ(std::get<Started>(events.front()).prompt_ids, (std::vector<TokenId>{'h', 'i'}));
  EXPECT_EQ(text_of(events), "안녕 you");
  const auto& done = std::get<Done>(events.back());
  EXPECT_EQ(done.reason, FinishReason::kStop);
  EXPECT_EQ(done.usage.n_prompt, 2u);
  EXPECT_EQ(done.usage.n_generated, 3u);
}

TEST(Client, TellsHowFarALoadIs) {
  auto script = parse_script(R"({"n_loading": 3})");
  ASSERT_TRUE(script.ok());
  std::vector<std::pair<uint64_t, uint64_t>> told;
  const auto client =
      start_in_process([&](int fd) { serve_scripted(fd, *script, {.clock = &kClock}); }, {},
                       {.on_progress = [&](const Loading& loading) {
                         told.emplace_back(loading.n_bytes, loading.n_bytes_total);
                       }});
  ASSERT_TRUE(client.ok());
  EXPECT_EQ(told, (std::vector<std::pair<uint64_t, uint64_t>>{{1, 3}, {2, 3}, {3, 3}}));
}

// Moves by hand, and can wait until the watchdog has looked at it: so a test knows what that did.
class WatchedClock final : public Clock {
 public:
  int64_t monotonic_ns() const override {
    ++n_reads_;
    return now_ns_;
  }
  int64_t unix_seconds() const override { return now_ns_ / 1'000'000'000; }
  void advance(int64_t delta_ns) { now_ns_ += delta_ns; }
  // Returns when the watchdog, which has work, has looked at the new time.
  void advance_seen(int64_t delta_ns) {
    advance(delta_ns);
    // The first of these reads may have begun before.
    for (const uint64_t enough = n_reads_ + 3; n_reads_ < enough;) std::this_thread::yield();
  }

 private:
  mutable std::atomic<uint64_t> n_reads_ = 0;
  std::atomic<int64_t> now_ns_ = 0;
};

// An engine with this fault. Where it survives the cancel, the clock stands still from then on;
// else it goes on until the engine is given up.
void expect_given_up(const std::string& fault, bool survives) {
  auto script = parse_script(
      fmt::format(R"({{"echo": true, "replies": [{{"match": "x", "text": "a b c", "fault": "{}",
                      "fault_after": 1}}]}})",
                  fault));
  ASSERT_TRUE(script.ok());
  WatchedClock clock;
  const auto client =
      start_in_process([&](int fd) { serve_scripted(fd, *script, {.clock = &kClock}); }, {},
                       {.clock = &clock, .look_every_ms = 1});
  ASSERT_TRUE(client.ok());
  Recorder stuck;
  (*client)->generate(text_request("x"), stuck.sink());
  stuck.wait_for(2);                 // Started and the piece before the fault
  clock.advance_seen(kPingAfterNs);  // a ping
  clock.advance_seen(kPingAfterNs);  // another
  const int64_t rest_ns = kStuckAfterNs - 2 * kPingAfterNs;
  if (survives) {
    clock.advance(rest_ns);  // the cancel; once it is answered nobody looks any more
  } else {
    clock.advance_seen(rest_ns);
    clock.advance(kCancelGraceNs);
  }
  const auto events = stuck.wait();
  EXPECT_EQ(text_of(events), "a ");
  const auto* failed = std::get_if<Failed>(&events.back());
  ASSERT_NE(failed, nullptr);
  EXPECT_EQ(failed->error.code, ErrorCode::kUnavailable);
  EXPECT_NE(failed->error.message.find("no progress for 30 s"), std::string::npos);
  EXPECT_EQ((*client)->alive(), survives);
  Recorder next;
  (*client)->generate(text_request("hello"), next.sink());
  EXPECT_EQ(std::holds_alternative<Done>(next.wait().back()), survives);
}

TEST(Client, CancelsARequestThatMakesNoProgress) { expect_given_up("stall", true); }

TEST(Client, EndsAnEngineThatAnswersNothing) { expect_given_up("hang", false); }

TEST(Client, HonoursStopMaxTokensAndLogprobs) {
  const auto client = start(R"({"replies": [{"text": "one two three"}]})");
  GenerateRequest request = text_request("x");
  request.stop = {"wo t"};
  Recorder stopped;
  client->generate(request, stopped.sink());
  EXPECT_EQ(text_of(stopped.wait()), "one t");
  EXPECT_EQ(std::get<Done>(stopped.wait().back()).stop, "wo t");
  request.stop = {};
  request.max_tokens = 1;
  request.sampling.want_logprobs = true;
  request.sampling.n_logprobs = 2;
  Recorder cut;
  client->generate(request, cut.sink());
  EXPECT_EQ(std::get<Done>(cut.wait().back()).reason, FinishReason::kLength);
  EXPECT_EQ(std::get<Delta>(cut.wait()[1]).logprobs[0].top.size(), 2u);
}

TEST(Client, RefusalsNameTheField) {
  const auto client = start(R"({"card": {"n_ctx": 10, "has_chat_template": false}, "echo": true})");
  const auto error_of = [&](const GenerateRequest& request) {
    Recorder recorder;
    client->generate(request, recorder.sink());
    const auto events = recorder.wait();
    EXPECT_EQ(events.size(), 1u);
    return std::get<Failed>(events.back()).error;
  };
  GenerateRequest hot = text_request("x");
  hot.sampling.temperature = 3;
  EXPECT_EQ(error_of(hot).param, "sampling.temperature");
  GenerateRequest nan = text_request("x");
  nan.sampling.top_p = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(error_of(nan).param, "sampling.top_p");
  const Error too_long = error_of(text_request("eleven byte"));
  EXPECT_EQ(too_long.param, kContextLengthExceeded);
  EXPECT_NE(too_long.message.find("11"), std::string::npos);
  EXPECT_NE(too_long.message.find("10"), std::string::npos);
  EXPECT_EQ(error_of({.prompt = ChatPrompt{}}).param, "messages");
}

TEST(Client, AnswersBlockingCalls) {
  const auto client = start(R"({"card": {"n_vocab": 300}, "replies": [{"text": "tail"}]})");
  EXPECT_EQ(client->tokenize({.text = "a\xFF"}).value(), (std::vector<TokenId>{'a', 0xFF}));
  EXPECT_EQ(client->detokenize({'a', 0xFF, 256}).value(), "a\xFFtail");
  RenderRequest render;
  render.prompt.messages = Json::parse(R"([{"role": "user", "content": "q"}])");
  EXPECT_EQ(client->render(render).value(), "user: q\nassistant: ");
  const auto score = client->score({.ids = {1, 2, 3}, .last = 2, .top = 4});
  EXPECT_DOUBLE_EQ(score->nll.value(), std::log(300.0));
  EXPECT_EQ(score->nlls.size(), 2u);
  ASSERT_EQ(score->top.size(), 2u);
  EXPECT_EQ(score->top[0].size(), 4u);
  EXPECT_FALSE(client->score({.ids = {7}})->nll.has_value());
}

TEST(Client, EmbedsWithEveryFlag) {
  const auto client = start(R"({"card": {"d_model": 2, "n_ctx": 3, "generates": false}})");
  EXPECT_EQ(client->card().d_model, 2u);
  EXPECT_EQ(client->card().pooling, "mean");
  EXPECT_FALSE(client->card().generates);
  const auto mean = client->embed({.prompt = TokensPrompt{{'a', 'b'}}, .want_tokens = true});
  EXPECT_EQ(mean->values, (std::vector<float>{0.5f, 0.5f}));
  EXPECT_EQ(mean->tokens, (std::vector<std::vector<float>>{{0, 1}, {1, 0}}));
  EXPECT_EQ(mean->n_prompt, 2u);
  EmbedRequest request{.prompt = TextPrompt{"ab"}, .pooling = model::Pooling::kCls};
  EXPECT_EQ(client->embed(request)->values, (std::vector<float>{0, 1}));
  EXPECT_TRUE(client->embed(request)->tokens.empty());
  request.pooling = model::Pooling::kNone;
  request.normalize = true;
  EXPECT_FLOAT_EQ(client->embed(request)->values[0], std::sqrt(0.5f));
  request.prompt = TextPrompt{"abcd"};
  EXPECT_EQ(client->embed(request).error().param, kContextLengthExceeded);
  Recorder refused;
  client->generate(text_request("x"), refused.sink());
  EXPECT_EQ(std::get<Failed>(refused.wait().back()).error.param, "model");
}

TEST(Client, EmbedsManyInTheirOrder) {
  const auto client = start(R"({"card": {"d_model": 256, "n_ctx": 3}})");
  std::vector<EmbedRequest> requests;
  for (size_t i = 0; i < 200; ++i) {
    const auto letter = static_cast<char>('A' + i % 50);
    requests.push_back({.prompt = TextPrompt{std::string(i == 100 ? 4 : 1, letter)}});
  }
  const auto results = client->embed_all(requests);
  ASSERT_EQ(results.size(), 200u);
  for (size_t i = 0; i < 200; ++i) {
    EXPECT_EQ(results[i].ok(), i != 100);
    if (results[i].ok()) EXPECT_EQ(results[i]->values['A' + i % 50], 1.0f) << i;
  }
  EXPECT_TRUE(client->embed_all({}).empty());
}

TEST(Client, CancelEndsAStalledGeneration) {
  const auto client =
      start(R"({"replies": [{"text": "a b", "fault": "stall", "fault_after": 1}]})");
  Recorder recorder;
  const RequestId id = client->generate(text_request("x"), recorder.sink());
  recorder.wait_for(2);  // Started and one Delta: now it stalls
  client->cancel(id);
  EXPECT_EQ(std::get<Done>(recorder.wait().back()).reason, FinishReason::kCancelled);
  EXPECT_EQ(client->stats()->n_cancelled, 1u);
  client->cancel(id);         // over: ignored
  client->cancel(123456789);  // unknown: ignored
  EXPECT_EQ(client->stats()->n_running, 0u);
}

TEST(Client, ServesSeveralAtOnce) {
  const auto client = start(R"({"echo": true, "replies": []})");
  const auto waits = start(R"({"replies": [{"text": "all", "start_when_running": 8}]})");
  std::vector<Recorder> recorders(8);
  for (Recorder& recorder : recorders) waits->generate(text_request("x"), recorder.sink());
  for (Recorder& recorder : recorders) EXPECT_EQ(text_of(recorder.wait()), "all");
  std::vector<Recorder> echoes(8);
  for (size_t i = 0; i < 8; ++i)
    client->generate(text_request(std::to_string(i)), echoes[i].sink());
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(text_of(echoes[i].wait()), std::to_string(i));
}

TEST(Client, AnEngineThatDiesFailsEveryRequestOnce) {
  const auto client = start(R"({"replies": [{"match": "die", "text": "a b", "fault": "die",
      "fault_after": 1}, {"text": "c d", "fault": "stall", "fault_after": 1}]})");
  Recorder bystander;
  client->generate(text_request("x"), bystander.sink());
  bystander.wait_for(2);
  Recorder victim;
  client->generate(text_request("die"), victim.sink());
  EXPECT_EQ(std::get<Failed>(victim.wait().back()).error.code, ErrorCode::kUnavailable);
  EXPECT_EQ(std::get<Failed>(bystander.wait().back()).error.code, ErrorCode::kUnavailable);
  EXPECT_FALSE(client->alive());
  Recorder late;
  client->generate(text_request("x"), late.sink());
  EXPECT_EQ(std::get<Failed>(late.wait().back()).error.code, ErrorCode::kUnavailable);
  EXPECT_EQ(client->stats().error().code, ErrorCode::kUnavailable);
}

TEST(Client, ARequestAboveTheFrameLimitFailsAlone) {
  const auto client = start(R"({"echo": true})");
  Recorder big;
  client->generate(text_request(std::string(kFrameBytesMax, 'x')), big.sink());
  EXPECT_EQ(std::get<Failed>(big.wait().back()).error.code, ErrorCode::kResourceExhausted);
  Recorder small;
  client->generate(text_request("ok"), small.sink());
  EXPECT_EQ(text_of(small.wait()), "ok");
}

TEST(Client, DestructionEndsOpenRequests) {
  Recorder recorder;
  auto client = start(R"({"replies": [{"text": "a", "fault": "stall"}]})");
  client->generate(text_request("x"), recorder.sink());
  client.reset();
  EXPECT_TRUE(std::holds_alternative<Failed>(recorder.wait().back()));
}

TEST(Client, MayBeDestroyedFromASink) {
  std::shared_ptr<Client> client = start(R"({"echo": true})");
  Recorder recorder;
  // The sink holds the last reference and lets go of it at the end.
  Client* raw = client.get();
  std::promise<void> handed_over;
  auto ready = handed_over.get_future().share();
  raw->generate(text_request("x"),
                [&recorder, ready, held = std::move(client)](GenerateEvent event) mutable {
                  ready.wait();
                  const bool last = is_last(event);
                  if (last) held.reset();
                  recorder.record(std::move(event));
                });
  handed_over.set_value();
  EXPECT_TRUE(std::holds_alternative<Done>(recorder.wait().back()));
}

TEST(Client, LoadErrorsAreTheEnginesOwn) {
  const Script script = parse_script(R"({"load_error": "no such tensor"})").value();
  const auto client = start_in_process(
      [script](int fd) { serve_scripted(fd, script, {.clock = &kClock}); }, {.path = "m"});
  EXPECT_EQ(client.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(client.error().message, "no such tensor");
}

TEST(Client, RefusesAnEngineThatSpeaksNonsense) {
  for (const char* answer : {"nonsense", "{\"type\":\"hello\",\"id\":0,\"version\":2}",
                             "{\"type\":\"hello\",\"id\":9,\"version\":1}"}) {
    const auto client = start_in_process(
        [answer](int fd) {
          ASSERT_TRUE(write_frame(fd, answer).ok());
          std::string payload;
          while (read_frame(fd, payload).value()) {
          }
        },
        {});
    EXPECT_EQ(client.error().code, ErrorCode::kCorrupt) << answer;
  }
}

TEST(Host, RefusesAForeignVersionAndAnythingBeforeLoad) {
  const std::vector<std::vector<Command>> openings = {
      {Hello{kProtocolVersion + 1}}, {StatsRequest{}}, {Hello{}, StatsRequest{}}};
  for (const auto& opening : openings) {
    int fds[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    for (const Command& command : opening) {
      ASSERT_TRUE(write_frame(fds[0], encode_command(5, command)).ok());
    }
    HostWriter writer(fds[1]);
    EXPECT_FALSE(accept_load(fds[1], writer).has_value());
    std::string payload;
    for (size_t i = 0; i < opening.size(); ++i) ASSERT_TRUE(read_frame(fds[0], payload).value());
    const auto last = decode_event(open_frame(payload).value());
    EXPECT_TRUE(std::holds_alternative<Failed>(*last));
    ::close(fds[0]);
    ::close(fds[1]);
  }
}

TEST(Host, AnswersABadFieldUnderItsIdAndGoesOn) {
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  ASSERT_TRUE(write_frame(fds[0], R"({"type":"score","id":8,"ids":[1],"last":-1,"top":0})").ok());
  ASSERT_TRUE(write_frame(fds[0], encode_command(9, StatsRequest{})).ok());
  HostWriter writer(fds[1]);
  EXPECT_EQ(next_command(fds[1], writer)->id, 9u);
  std::string payload;
  ASSERT_TRUE(read_frame(fds[0], payload).value());
  const auto envelope = open_frame(payload);
  EXPECT_EQ(envelope->id, 8u);
  EXPECT_EQ(std::get<Failed>(*decode_event(*envelope)).error.param, "last");
  ::close(fds[0]);
  ::close(fds[1]);
}

TEST(ParseScript, NamesWhatIsWrong) {
  EXPECT_EQ(parse_script(R"({"replys": []})").error().param, "replys");
  EXPECT_EQ(parse_script(R"({"replies": [{"fault": "explode"}]})").error().param, "fault");
  EXPECT_EQ(parse_script(R"({"card": {"n_ctx": -1}})").error().param, "card.n_ctx");
}

}  // namespace
}  // namespace maru::link
