#include "app/adapters.h"

#include <gtest/gtest.h>

namespace maru::app {
namespace {

TEST(AdaptersTest, AreOfTheirModelOrTheFirst) {
  const auto plain = parse_adapter("pirate=/a/p=1.gguf", "smollm2:135m");
  ASSERT_TRUE(plain.ok()) << plain.error().message;
  EXPECT_EQ(plain->model, "smollm2:135m");
  EXPECT_EQ(plain->file.name, "pirate");
  EXPECT_EQ(plain->file.path, "/a/p=1.gguf");
  const auto other = parse_adapter("qwen3:0.6b:v1.2_x-y=/p.gguf", "smollm2:135m");
  ASSERT_TRUE(other.ok()) << other.error().message;
  EXPECT_EQ(other->model, "qwen3:0.6b");
  EXPECT_EQ(other->file.name, "v1.2_x-y");
}

TEST(AdaptersTest, WhatIsNoAdapterIsRefused) {
  const std::string long_name(kAdapterNameBytesMax + 1, 'a');
  for (const std::string& text :
       {std::string("pirate"), std::string("=/p.gguf"), std::string("pirate="),
        std::string("a b=/p.gguf"), std::string(":pirate=/p.gguf"), std::string("m:=/p.gguf"),
        long_name + "=/p.gguf"}) {
    const auto parsed = parse_adapter(text, "m");
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_NE(parsed.error().message.find("expected [MODEL:]NAME=FILE"), std::string::npos);
  }
}

}  // namespace
}  // namespace maru::app
