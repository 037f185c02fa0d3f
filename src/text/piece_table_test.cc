#include "text/piece_table.h"

#include <gtest/gtest.h>

#include <map>

#include "base/rng.h"

namespace maru::text {
namespace {

TEST(PieceTable, FindsWhatAMapFinds) {
  Rng rng(4);
  std::vector<std::string> pieces;
  for (size_t i = 0; i < 5000; ++i) {
    std::string piece;
    for (size_t n = rng.below(4); n > 0; --n) piece.push_back("abc\0\xFF"[rng.below(5)]);
    pieces.push_back(piece);
  }
  PieceTable table(pieces);
  std::map<std::string, TokenId> map;
  EXPECT_FALSE(table.has_twins());
  for (size_t i = 0; i < pieces.size(); i += 2) {
    table.insert(static_cast<TokenId>(i));
    map.emplace(pieces[i], static_cast<TokenId>(i));
  }
  EXPECT_TRUE(table.has_twins());  // 156 different strings at most
  for (const std::string& piece : pieces) {
    const auto at = map.find(piece);
    ASSERT_EQ(table.find(piece), at == map.end() ? -1 : at->second);
  }
  EXPECT_EQ(table.find("not there"), -1);
  PieceTable at_once(pieces);
  at_once.insert_all([](size_t i) { return i % 2 == 0; });
  EXPECT_TRUE(at_once.has_twins());
  size_t n_found = 0;
  at_once.find_all(
      pieces.size(), [&](size_t i) -> std::string_view { return pieces[i]; },
      [&](size_t i, TokenId id) {
        EXPECT_EQ(i, n_found++);
        EXPECT_EQ(id, table.find(pieces[i]));
      });
  EXPECT_EQ(n_found, pieces.size());
}

TEST(PieceTable, EveryPieceOfAFullTable) {
  std::vector<std::string> pieces;
  for (size_t i = 0; i < 70'000; ++i) pieces.push_back(std::to_string(i * 7919));
  PieceTable table(pieces);
  for (size_t i = 0; i < pieces.size(); ++i) table.insert(static_cast<TokenId>(i));
  EXPECT_FALSE(table.has_twins());
  for (size_t i = 0; i < pieces.size(); ++i) {
    ASSERT_EQ(table.find(pieces[i]), static_cast<TokenId>(i));
  }
  EXPECT_EQ(table.find(""), -1);
}

}  // namespace
}  // namespace maru::text
