#include "importer/families.h"

#include <gtest/gtest.h>

#include <set>

namespace maru::importer {
namespace {

TEST(Families, EveryTypeNamesOneFamilyThatIsWhole) {
  std::set<std::string_view> types;
  for (const Family* family : families()) {
    EXPECT_FALSE(family->architecture.empty());
    EXPECT_NE(family->metadata, nullptr);
    EXPECT_FALSE(family->ends.empty());
    EXPECT_EQ(family->ends.front().to, "token_embd");
    EXPECT_FALSE(family->layer.front().empty());
    for (const std::string_view type : family->model_types) {
      if (type.empty()) continue;
      EXPECT_TRUE(types.insert(type).second) << type;
      EXPECT_EQ(find_family(type), family);
    }
  }
  EXPECT_EQ(find_family(""), nullptr);
  EXPECT_EQ(find_family("abacus"), nullptr);
}

}  // namespace
}  // namespace maru::importer
