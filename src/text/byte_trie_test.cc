#include "text/byte_trie.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "base/rng.h"

namespace maru::text {
namespace {

int32_t look_up(const ByteTrie& trie, std::string_view key) {
  uint32_t node = ByteTrie::kRoot;
  for (const char c : key) {
    node = trie.child(node, c);
    if (node == ByteTrie::kNone) return -1;
  }
  return trie.value(node);
}

TEST(ByteTrie, AgreesWithAMap) {
  Rng rng(7);
  std::map<std::string, int32_t> expected;
  std::vector<std::string> keys;
  for (int32_t i = 0; i < 3000; ++i) {
    std::string key;
    for (size_t n = rng.below(6); n > 0; --n) {
      key += static_cast<char>(rng.below(2) == 0 ? 'a' + rng.below(3) : rng.next());
    }
    keys.push_back(key);
    if (!key.empty()) expected.emplace(key, i);
  }
  std::vector<std::pair<std::string_view, int32_t>> pairs;
  for (size_t i = 0; i < keys.size(); ++i) pairs.emplace_back(keys[i], static_cast<int32_t>(i));
  const ByteTrie trie(pairs);
  for (const std::string& key : keys) {
    ASSERT_EQ(look_up(trie, key), key.empty() ? -1 : expected[key]);
    const std::string longer = key + "\xFE\xFE";
    ASSERT_EQ(look_up(trie, longer), expected.contains(longer) ? expected[longer] : -1);
  }
}

TEST(ByteTrie, HoldsAllBytesAndNothing) {
  EXPECT_EQ(look_up(ByteTrie(), "a"), -1);
  std::vector<std::string> keys;
  for (int byte = 0; byte < 256; ++byte) keys.emplace_back(1, static_cast<char>(byte));
  std::vector<std::pair<std::string_view, int32_t>> pairs;
  for (size_t i = 0; i < keys.size(); ++i) pairs.emplace_back(keys[i], static_cast<int32_t>(i));
  const ByteTrie trie(pairs);
  for (size_t i = 0; i < keys.size(); ++i) EXPECT_EQ(look_up(trie, keys[i]), static_cast<int>(i));
}

}  // namespace
}  // namespace maru::text
