// serve/http_test.cc - routes, escapes, dates, and the texts that are written without a JSON tree.
#include "serve/http.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "serve/json_text.h"
#include "serve/origin.h"

namespace maru::serve {
namespace {

TEST(RouterTest, ExactPathsWinOverCaptures) {
  Router router;
  router.add("GET", "/v1/models", RunOn::kIoThread, {});
  router.add("GET", "/v1/models/{id}", RunOn::kIoThread, {});
  router.add("POST", "/v1/models/special", RunOn::kIoThread, {});
  EXPECT_EQ(router.find("GET", "/v1/models").route->path, "/v1/models");
  const auto match = router.find("GET", "/v1/models/org/name%3A1b");
  ASSERT_NE(match.route, nullptr);
  EXPECT_EQ(match.capture, "org/name:1b");
  EXPECT_EQ(router.find("HEAD", "/v1/models").route->method, "GET");
  EXPECT_EQ(router.find("POST", "/v1/models/special").route->path, "/v1/models/special");
  EXPECT_EQ(router.find("GET", "/v1/models/").route, nullptr);
  EXPECT_EQ(router.find("GET", "/v1/models/a%ff").route, nullptr);
  EXPECT_EQ(router.find("GET", "/v1/models/a%ff").allowed, "");  // 404 and not 405
  EXPECT_EQ(router.find("PUT", "/v1/models").route, nullptr);
  EXPECT_EQ(router.find("PUT", "/v1/models").allowed, "GET");
  EXPECT_EQ(router.find("PUT", "/v2").allowed, "");
}

TEST(HttpTest, PercentDecode) {
  EXPECT_EQ(percent_decode("a%20b%C3%A9"), "a b\xC3\xA9");
  EXPECT_FALSE(percent_decode("%"));
  EXPECT_FALSE(percent_decode("%2"));
  EXPECT_FALSE(percent_decode("%zz"));
  EXPECT_FALSE(percent_decode("a%00b"));
  EXPECT_FALSE(percent_decode("%FF"));
}

TEST(HttpTest, Date) {
  EXPECT_EQ(http_date(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(http_date(1709164800), "Thu, 29 Feb 2024 00:00:00 GMT");
}

TEST(JsonTextTest, StringsReadBackAsTheyWere) {
  std::string all;
  for (char c = 0; c < 0x7F; ++c) all.push_back(c);
  for (const std::string& text :
       {all, std::string("한국어 \xF0\x9F\x98\x80 \x7F"), std::string()}) {
    std::string json;
    append_json_string(json, text);
    EXPECT_EQ(Json::parse(json).get<std::string>(), text);
  }
  std::string json;
  append_json_string(json, "a\xFF\xE2\x82");
  EXPECT_EQ(Json::parse(json).get<std::string>(), "a\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(JsonTextTest, NumbersReadBackAsTheyWere) {
  for (const double value : {0.0, -0.1, 12.34, 1e300, -5e-324, 3.0}) {
    std::string json;
    append_json_number(json, value);
    EXPECT_EQ(Json::parse(json).get<double>(), value) << json;
  }
  std::string never;
  append_json_number(never, -std::numeric_limits<double>::infinity());
  EXPECT_EQ(never, "-9999");
}

TEST(OriginTest, Hosts) {
  const std::vector<std::string> names{"maru.example"};
  for (const char* host : {"localhost", "LOCALHOST:6278", "127.0.0.1:80", "10.1.2.3", "[::1]:6278",
                           "[2001:db8::1]", "maru.example:443", "Maru.Example"}) {
    EXPECT_TRUE(is_host_allowed(host, names)) << host;
  }
  for (const char* host : {"", ":80", "evil.example", "localhost.evil.example", "127.0.0.1.nip.io",
                           "localhost:abc", "[::1", "[::1]x", "::1", "[localhost]", "0x7f.1",
                           "maru.example.", "localhost:123456", "127.1"}) {
    EXPECT_FALSE(is_host_allowed(host, names)) << host;
  }
  EXPECT_FALSE(is_host_allowed(std::string_view("127.0.0.1\0x", 11), names));
}

TEST(OriginTest, OnlyTheOwnOriginChangesState) {
  EXPECT_TRUE(is_origin_allowed("GET", "http://evil.example", "localhost:1"));
  EXPECT_TRUE(is_origin_allowed("POST", "", "localhost:1"));
  EXPECT_TRUE(is_origin_allowed("POST", "https://LOCALHOST:1", "localhost:1"));
  EXPECT_FALSE(is_origin_allowed("POST", "http://localhost:2", "localhost:1"));
  EXPECT_FALSE(is_origin_allowed("POST", "null", "localhost:1"));
  EXPECT_FALSE(is_origin_allowed("POST", "file://localhost:1", "localhost:1"));
  EXPECT_FALSE(is_origin_allowed("DELETE", "http://evil.example", "localhost:1"));
}

}  // namespace
}  // namespace maru::serve
