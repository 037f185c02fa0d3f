#include "text/charsmap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

namespace maru::text {
namespace {

// A table with one entry per character given: root -> (label, has leaf) -> leaf.
std::string table(const std::vector<std::pair<char, std::string>>& entries) {
  constexpr uint32_t kFirst = 256;
  constexpr uint32_t kLeaves = 512;
  std::vector<uint32_t> units(1024, 0);
  units[0] = kFirst << 10;
  std::string replacements;
  for (uint32_t i = 0; i < entries.size(); ++i) {
    const auto byte = static_cast<uint8_t>(entries[i].first);
    const uint32_t node = kFirst ^ byte;
    units[node] = ((node ^ (kLeaves + i)) << 10) | (1u << 8) | byte;
    units[kLeaves + i] = static_cast<uint32_t>(replacements.size()) | (1u << 31);
    replacements += entries[i].second + '\0';
  }
  const auto n_bytes = static_cast<uint32_t>(units.size() * sizeof(uint32_t));
  std::string blob(reinterpret_cast<const char*>(&n_bytes), sizeof n_bytes);
  blob.append(reinterpret_cast<const char*>(units.data()), n_bytes);
  return blob + replacements;
}

TEST(Charsmap, ReplacesWhatTheTableHas) {
  const auto map = Charsmap::parse(table({{'A', "a"}, {'&', "and"}, {'-', ""}}));
  ASSERT_TRUE(map.ok()) << map.error().message;
  EXPECT_EQ(map->normalize("A&B-C한"), "aandBC한");
  EXPECT_EQ(map->normalize(""), "");
  // A grapheme as a whole first: the shortest entry that it begins with replaces all of it.
  EXPECT_EQ(map->normalize("A\u0301"), "a");
  // One of six bytes or more goes character by character.
  EXPECT_EQ(map->normalize("A\u0301\u0302\u0303"), "a\u0301\u0302\u0303");
}

TEST(Charsmap, NothingChangesNothing) {
  EXPECT_EQ(Charsmap().normalize("A\xFF"), "A\xFF");
  const auto map = Charsmap::parse("");
  ASSERT_TRUE(map.ok());
  EXPECT_EQ(map->normalize("x"), "x");
}

TEST(Charsmap, RefusesSizesThatLie) {
  using testing::HasSubstr;
  EXPECT_THAT(Charsmap::parse("abc").error().message, HasSubstr("cut"));
  std::string blob = table({{'A', "a"}});
  blob[0] = 3;  // no multiple of a unit
  EXPECT_THAT(Charsmap::parse(blob).error().message, HasSubstr("declares a trie"));
  EXPECT_THAT(Charsmap::parse(std::string("\0\0\0\x7F", 4)).error().message,
              HasSubstr("0 are left"));
  EXPECT_THAT(Charsmap::parse(std::string(4, '\0')).error().message, HasSubstr("declares a trie"));
}

// Offsets and replacements beyond the end end the look-up.
TEST(Charsmap, StaysInsideAHostileTable) {
  std::string blob = table({{'A', "a"}});
  for (size_t at = 4; at < blob.size(); at += 4) {
    std::string hostile = blob;
    for (size_t i = at; i < std::min(at + 4, hostile.size()); ++i) hostile[i] = '\xFF';
    const auto map = Charsmap::parse(hostile);
    ASSERT_TRUE(map.ok());
    (void)map->normalize("ABCA\xFF한");
  }
}

}  // namespace
}  // namespace maru::text
