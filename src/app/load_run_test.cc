#include <gtest/gtest.h>

#include "app/chat_call.h"
#include "app/load_run.h"

namespace maru::app {
namespace {

TEST(ChatStream, ReadsEventsHoweverTheyAreCut) {
  const std::string text =
      ": a comment\r\n"
      "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\r\n\r\n"
      "data: {\"choices\":[{\"delta\":{\"content\":\"one \"}}]}\n\n"
      "data:{\"choices\":[{\"delta\":{\"content\":\"two\"}}]}\n\n"
      "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,"
      "\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\n"
      "data: [DONE]\n\n";
  for (size_t step = 1; step < text.size(); step += 7) {
    ChatStream stream;
    double seconds = 0;
    for (size_t at = 0; at < text.size(); at += step) stream.feed(text.substr(at, step), ++seconds);
    const auto times = stream.finish();
    ASSERT_TRUE(times.ok()) << times.error().message;
    EXPECT_EQ(times->text, "one two");
    EXPECT_EQ(times->gaps.size(), 1u);
    EXPECT_EQ(times->n_prompt, 9u);
    EXPECT_EQ(times->n_cached, 4u);
    EXPECT_EQ(times->n_generated, 2u);
  }
}

TEST(ChatStream, WhatIsNoWholeAnswerIsAnError) {
  for (const char* text : {"", "data: [DONE]\n", "data: {\n", "data: []\n", "data: {\"error\":1}\n",
                           "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n"}) {
    ChatStream stream;
    stream.feed(text, 1);
    EXPECT_FALSE(stream.finish().ok()) << text;
  }
}

TEST(LoadMix, ConversationsGrowAndBeginAnew) {
  const LoadGroup group = load_mix("turns", 3, 256, 10)[0][0];
  Talker talker(group, "m", 1, 0);
  for (int round = 0; round < 2; ++round) {
    for (size_t turn = 0; turn < 4; ++turn) {
      const Json body = talker.next(turn == 0 ? "" : "answer");
      EXPECT_EQ(body["messages"].size(), 2 * turn + 1);
      if (turn > 0) EXPECT_EQ(body["messages"][2 * turn - 1]["content"], "answer");
    }
  }
}

TEST(LoadMix, StreamsShareTheirBeginningAndNothingElse) {
  const LoadGroup group = load_mix("shared", 2, 256, 10)[0][0];
  const Json a = Talker(group, "m", 1, 0).next("");
  const Json b = Talker(group, "m", 1, 1).next("");
  EXPECT_EQ(a["messages"][0], b["messages"][0]);
  EXPECT_NE(a["messages"][1], b["messages"][1]);
  EXPECT_NE(a["user"], b["user"]);
  EXPECT_EQ(a, Talker(group, "m", 1, 0).next(""));
  EXPECT_NE(a, Talker(group, "m", 2, 0).next(""));
  EXPECT_TRUE(load_mix("nonsense", 1, 1, 1).empty());
  for (const auto mix : kLoadMixes) EXPECT_FALSE(load_mix(mix, 1, 1, 1).empty());
}

TEST(LoadRun, PercentilesAreOfSortedValues) {
  EXPECT_EQ(percentile({}, 0.5), 0);
  EXPECT_EQ(percentile({1, 2, 3}, 0.5), 2);
  EXPECT_EQ(percentile({1, 2, 3}, 0.99), 2);
  EXPECT_EQ(percentile({1, 2, 3}, 1), 3);
}

}  // namespace
}  // namespace maru::app
