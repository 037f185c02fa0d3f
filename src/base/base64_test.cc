#include "base/base64.h"

#include <gtest/gtest.h>

namespace maru {
namespace {

TEST(Base64, GivesTheVectorsOfTheRfc) {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : vectors) {
    EXPECT_EQ(encode_base64(bytes), text);
    EXPECT_EQ(decode_base64(text).value(), bytes);
  }
}

TEST(Base64, EveryByteSurvives) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  for (size_t n = 250; n <= bytes.size(); ++n) {
    EXPECT_EQ(decode_base64(encode_base64(bytes.substr(0, n))).value(), bytes.substr(0, n));
  }
}

TEST(Base64, RefusesWhatIsNotCanonical) {
  for (const char* text :
       {"Z", "Zg", "Zg=", "Zh==", "Zm9=", "Zg==Zg==", "Z===", "====", "Zm 9", "Zm-_", "=Zg="}) {
    EXPECT_FALSE(decode_base64(text).ok()) << text;
  }
}

}  // namespace
}  // namespace maru
