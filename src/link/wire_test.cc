#include "link/wire.h"

#include <gtest/gtest.h>

#include "link/wire_samples.h"

namespace maru::link {
namespace {

Result<Command> decode_command_text(const std::string& text) {
  MARU_TRY(envelope, open_frame(text));
  return decode_command(envelope);
}

Result<EventBody> decode_event_text(const std::string& text) {
  MARU_TRY(envelope, open_frame(text));
  return decode_event(envelope);
}

TEST(Wire, EveryCommandSurvivesTheWay) {
  std::vector<bool> seen(std::variant_size_v<Command>, false);
  for (const Command& command : sample_commands()) {
    const std::string text = encode_command(42, command);
    const auto decoded = decode_command_text(text);
    ASSERT_TRUE(decoded.ok()) << text << ": " << decoded.error().message;
    EXPECT_EQ(decoded->index(), command.index());
    EXPECT_EQ(encode_command(42, *decoded), text);  // the text holds every field
    seen[command.index()] = true;
  }
  EXPECT_EQ(seen, std::vector<bool>(seen.size(), true));
}

TEST(Wire, EveryEventSurvivesTheWay) {
  std::vector<bool> seen(std::variant_size_v<EventBody>, false);
  for (const EventBody& event : sample_events()) {
    const std::string text = encode_event(42, event);
    const auto decoded = decode_event_text(text);
    ASSERT_TRUE(decoded.ok()) << text << ": " << decoded.error().message;
    EXPECT_EQ(encode_event(42, *decoded), text);
    seen[event.index()] = true;
  }
  EXPECT_EQ(seen, std::vector<bool>(seen.size(), true));
}

TEST(Wire, ValuesAreThoseThatWereSent) {
  const auto command = decode_command_text(encode_command(1, sample_commands()[2]));
  const auto& request = std::get<GenerateRequest>(*command);
  EXPECT_EQ(request.sampling.seed, 0xFFFFFFFFFFFFFFFFu);
  EXPECT_EQ(request.sampling.temperature, 0.7f);
  EXPECT_EQ(request.sampling.logit_bias, sample_sampling().logit_bias);
  EXPECT_EQ(request.max_tokens, 7u);
  EXPECT_EQ(std::get<ChatPrompt>(request.prompt).messages[0]["content"], "안녕");
  const auto text = decode_command_text(encode_command(1, sample_commands()[3]));
  EXPECT_EQ(std::get<TextPrompt>(std::get<GenerateRequest>(*text).prompt).text, "half \xEB\xA7");
  const auto delta = decode_event_text(encode_event(1, sample_events()[4]));
  EXPECT_EQ(std::get<Delta>(*delta).logprobs[0].top[1].logprob, -2.25f);
  EXPECT_EQ(std::get<Delta>(*delta).logprobs[0].chosen.bytes, "\xEC\x95");
}

// Removing or adding a field anywhere is refused, and the message names it.
void expect_strict(const Json& frame, const Json::json_pointer& at, bool is_command) {
  const auto error_of = [&](const Json& changed) {
    if (!is_command) return decode_event_text(dump_json(changed)).error();
    return decode_command_text(dump_json(changed)).error();
  };
  for (const auto& [name, value] : frame.at(at).items()) {
    if (at.empty() && (name == "type" || name == "id")) continue;
    Json less = frame;
    less.at(at).erase(name);
    EXPECT_NE(error_of(less).message.find(name), std::string::npos) << frame;
    Json wrong = frame;
    wrong.at(at)[name] = Json::object({{"?", 1}});
    if (name != "tools" && name != "tokens" && name != "template_kwargs") {
      EXPECT_FALSE(error_of(wrong).param.empty()) << name << frame;
    }
  }
  Json more = frame;
  more.at(at)["surplus"] = 1;
  EXPECT_NE(error_of(more).message.find("surplus"), std::string::npos) << frame;
}

TEST(Wire, MissingUnknownAndWrongFieldsAreNamed) {
  for (const Command& command : sample_commands()) {
    if (std::holds_alternative<ReservedRequest>(command)) continue;
    const Json frame = Json::parse(encode_command(1, command));
    expect_strict(frame, Json::json_pointer(""), true);
    for (const char* inner : {"/prompt", "/sampling"}) {
      if (frame.contains(Json::json_pointer(inner))) {
        expect_strict(frame, Json::json_pointer(inner), true);
      }
    }
  }
  for (const EventBody& event : sample_events()) {
    const Json frame = Json::parse(encode_event(1, event));
    expect_strict(frame, Json::json_pointer(""), false);
    for (const char* inner : {"/usage", "/error"}) {
      if (frame.contains(Json::json_pointer(inner))) {
        expect_strict(frame, Json::json_pointer(inner), false);
      }
    }
  }
}

TEST(Wire, NumbersOutOfRangeAreRefused) {
  const auto error_of = [](const char* name, const Json& value) {
    Json frame = Json::parse(encode_command(1, ScoreRequest{{1}, 1, 0}));
    frame[name] = value;
    return decode_command_text(dump_json(frame)).ok();
  };
  EXPECT_TRUE(error_of("top", 5));
  EXPECT_FALSE(error_of("top", -1));
  EXPECT_FALSE(error_of("top", 1.5));
  EXPECT_FALSE(error_of("top", 0xFFFFFFFFFFFFFFFFu));
  EXPECT_FALSE(error_of("ids", Json::array({2147483648u})));
  EXPECT_FALSE(error_of("ids", Json::array({-1})));
  EXPECT_FALSE(error_of("ids", Json::array({1.0})));
}

TEST(OpenFrame, NeedsATypeAndAnId) {
  for (const char* text : {"[]", "{}", "{\"type\":\"stats\"}", "{\"id\":1}", "nonsense",
                           "{\"type\":1,\"id\":1}", "{\"type\":\"stats\",\"id\":-1}"}) {
    EXPECT_EQ(open_frame(text).error().code, ErrorCode::kCorrupt) << text;
  }
  EXPECT_EQ(decode_command_text("{\"type\":\"steal\",\"id\":1}").error().code, ErrorCode::kCorrupt);
}

TEST(OpenFrame, TakesWhatARequestBodyMayNest) {
  Json deep = 1;
  for (size_t i = 0; i + 1 < kJsonDepthMax; ++i) deep = Json::array({deep});
  ChatPrompt chat;
  chat.messages = Json::array({deep});
  EXPECT_TRUE(decode_command_text(encode_command(1, GenerateRequest{.prompt = chat})).ok());
}

}  // namespace
}  // namespace maru::link
