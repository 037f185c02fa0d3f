#include "importer/hf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace maru::importer {
namespace {

using testing::HasSubstr;

HfConfig config_of(std::string_view text) {
  auto config = HfConfig::create(parse_json(text).value());
  EXPECT_TRUE(config.ok());
  return std::move(config).value();
}

TEST(HfConfig, TakesTheFirstKeyThatIsThereAndKeepsTheFirstError) {
  HfConfig config = config_of(R"({"a": null, "b": 3, "c": 0.5, "d": "x", "e": [7, 8], "f": -1})");
  EXPECT_EQ(config.count({"a", "b"}), 3u);
  EXPECT_EQ(config.count_or({"a"}, 9), 9u);
  EXPECT_EQ(config.number({"c"}), 0.5);
  EXPECT_EQ(config.token_id("e"), 7);
  EXPECT_TRUE(config.finish().ok());
  EXPECT_EQ(config.count_or({"f"}, 1), 1u);
  EXPECT_EQ(config.count({"missing"}), 0u);
  EXPECT_THAT(config.finish().error().message, HasSubstr("f is -1"));
  HfConfig other = config_of(R"({"d": "x"})");
  EXPECT_EQ(other.number({"d"}), 0.0);
  EXPECT_THAT(other.finish().error().message, HasSubstr("expected a number"));
  EXPECT_FALSE(HfConfig::create(Json::array()).ok());
}

TEST(HfConfig, TheTextModelOfAMultimodalOneCounts) {
  HfConfig config = config_of(R"({"model_type": "outer", "text_config": {"model_type": "inner"}})");
  EXPECT_EQ(config.text_or({"model_type"}, ""), "inner");
}

TEST(HfConfig, ReadsRopeInItsOldAndNewForms) {
  const auto theta = [](std::string_view text, std::string_view type) {
    return config_of(text).rope(type).number_or({"rope_theta"}, 0);
  };
  const char* old_form = R"({"rope_theta": 1e6, "rope_local_base_freq": 1e4,
                             "rope_scaling": {"type": "linear", "factor": 8.0}})";
  EXPECT_EQ(theta(old_form, "full_attention"), 1e6);
  EXPECT_EQ(theta(old_form, "sliding_attention"), 1e4);
  EXPECT_EQ(config_of(old_form).rope().text_or({"rope_type"}, ""), "linear");
  EXPECT_EQ(config_of(old_form).rope("sliding_attention").text_or({"rope_type"}, ""), "");
  const char* new_form = R"({"rope_parameters": {
      "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
      "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}})";
  EXPECT_EQ(theta(new_form, "full_attention"), 1e6);
  EXPECT_EQ(theta(new_form, "sliding_attention"), 1e4);
}

}  // namespace
}  // namespace maru::importer
