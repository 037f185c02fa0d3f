#include "importer/charsmap_writer.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "text/charsmap.h"

namespace maru::importer {
namespace {

TEST(CharsmapWriter, WhatItWritesNormalizes) {
  const auto blob =
      make_charsmap({{"Ａ", "A"}, {"\x01", ""}, {"ﬁ", "fi"}, {"\t", " "}, {"가", "나"}});
  ASSERT_TRUE(blob.ok());
  const auto map = text::Charsmap::parse(*blob);
  ASSERT_TRUE(map.ok());
  EXPECT_EQ(map->normalize("Ａ\x01ﬁx\t가B"), "Afix 나B");
}

TEST(CharsmapWriter, FindsEveryOneOfManyKeysAndNoOther) {
  Rng rng(7);
  std::vector<std::pair<std::string, std::string>> entries;
  for (int first = 0xE1; first < 0xE9; ++first) {  // of one length, so that none begins another
    for (int i = 0; i < 200; ++i) {
      std::string key = {static_cast<char>(first), static_cast<char>(0x80 + rng.below(64)),
                         static_cast<char>(0x80 + rng.below(64))};
      entries.emplace_back(key, std::to_string(i) + key);
    }
  }
  std::ranges::sort(entries);
  const auto same_key = [](const auto& a, const auto& b) { return a.first == b.first; };
  entries.erase(std::unique(entries.begin(), entries.end(), same_key), entries.end());
  const auto blob = make_charsmap(entries);
  ASSERT_TRUE(blob.ok());
  const auto map = text::Charsmap::parse(*blob);
  ASSERT_TRUE(map.ok());
  for (const auto& [key, replacement] : entries) {
    ASSERT_EQ(map->normalize(key), replacement);
  }
  EXPECT_EQ(map->normalize("abc"), "abc");
}

TEST(CharsmapWriter, RefusesWhatNoTableHolds) {
  EXPECT_EQ(make_charsmap({}).value(), "");
  EXPECT_FALSE(make_charsmap({{"", "x"}}).ok());
  EXPECT_FALSE(make_charsmap({{"a", "x"}, {"a", "y"}}).ok());
  EXPECT_FALSE(make_charsmap({{"a", "x"}, {"ab", "y"}}).ok());
  EXPECT_FALSE(make_charsmap({{"a", std::string(1, '\0')}}).ok());
}

}  // namespace
}  // namespace maru::importer
