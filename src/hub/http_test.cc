#include "hub/http.h"

#include <gmock/gmock.h>

#include "base/rng.h"
#include "hub/test_network.h"

namespace maru::hub {
namespace {

using testing::HasSubstr;

TEST(Url, HttpsAnywhereAndHttpOnThisMachineAlone) {
  EXPECT_EQ(parse_url("https://Hf.co/a?b#c")->origin, "https://hf.co:443");
  EXPECT_EQ(parse_url("https://hf.co/a?b#c")->text, "https://hf.co/a?b");
  for (const char* text : {"http://127.0.0.1:80/x", "http://127.9.9.9/", "http://localhost:1/",
                           "http://[::1]:8080/"}) {
    EXPECT_TRUE(parse_url(text).ok()) << text;
  }
  for (const char* text :
       {"http://hf.co/", "http://127.0.0.1.example.org/", "http://localhost.example.org/",
        "http://10.0.0.1/", "ftp://hf.co/", "file:///etc/passwd", "https://", "hf.co/x", "",
        "https://user:pw@hf.co/", "https://user@hf.co/", "https://hf.co/a b", "https://hf.co/\n",
        "gopher://127.0.0.1/"}) {
    const auto url = parse_url(text);
    ASSERT_FALSE(url.ok()) << text;
    EXPECT_EQ(url.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(Url, ResolvesWhatARedirectSays) {
  const Url base = *parse_url("https://hf.co/a/b?c");
  EXPECT_EQ(resolve_url(base, "/x/y")->text, "https://hf.co/x/y");
  EXPECT_EQ(resolve_url(base, "https://cdn.example/z")->origin, "https://cdn.example:443");
  EXPECT_EQ(resolve_url(base, "//cdn.example/z")->origin, "https://cdn.example:443");
  EXPECT_FALSE(resolve_url(base, "http://cdn.example/z").ok());
}

HttpSink into(std::string& body) {
  return {.on_head = {}, .on_body = [&](std::span<const std::byte> bytes) {
            body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
            return true;
          }};
}

// Threat 27: whatever chain of redirects and challenges a server makes, the token is seen by its
// own origin alone, and after the first foreign hop by nobody.
TEST(HttpGet, TheTokenNeverLeavesItsOrigin) {
  const std::vector<std::string> hosts = {
      "https://hf.co",    "https://hf.co:444",     "https://cdn.hf.co", "https://hf.co.evil.org",
      "https://evil.org", "http://127.0.0.1:8080", "https://HF.CO",     "https://hf.co:443"};
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed);
    FakeNetwork network;
    network.answer = [&](const HttpRequest&) {
      if (rng.below(4) == 0) return FakeAnswer{.status = rng.below(2) == 0 ? 200 : 401};
      std::string to = rng.below(3) == 0 ? "/next" : hosts[rng.below(hosts.size())] + "/x";
      constexpr int kStatuses[] = {301, 302, 303, 307, 308};
      return FakeAnswer{.status = kStatuses[rng.below(5)], .headers = {{"location", to}}};
    };
    std::string body;
    (void)http_get(network, {.url = "https://hf.co/start", .bearer = "secret"}, into(body), {});
    bool left = false;
    for (const HttpRequest& request : network.requests()) {
      const bool home = parse_url(request.url)->origin == "https://hf.co:443";
      left = left || !home;
      EXPECT_EQ(request.bearer, left ? "" : "secret") << request.url;
      EXPECT_TRUE(request.url.starts_with("https://")) << request.url;
    }
    EXPECT_LE(network.requests().size(), kRedirectsMax + 1);
  }
}

TEST(HttpGet, GivesOnlyTheLastBodyAndRemembersTheLinkedHash) {
  FakeNetwork network;
  network.answer = [](const HttpRequest& request) {
    if (request.url.ends_with("/a")) {
      return FakeAnswer{.status = 302,
                        .headers = {{"location", "/b"}, {"x-linked-etag", "\"abc\""}},
                        .body = "Found"};
    }
    return FakeAnswer{.body = "content"};
  };
  std::string body;
  const auto response = http_get(network, {.url = "https://hf.co/a"}, into(body), {});
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(body, "content");
  EXPECT_EQ(response->url, "https://hf.co/b");
  EXPECT_EQ(response->header("x-linked-etag"), "\"abc\"");
}

TEST(HttpGet, EndsCirclesAndSaysSo) {
  FakeNetwork network;
  network.answer = [](const HttpRequest&) {
    return FakeAnswer{.status = 302, .headers = {{"location", "/again"}}};
  };
  std::string body;
  const auto response = http_get(network, {.url = "https://hf.co/a"}, into(body), {});
  ASSERT_FALSE(response.ok());
  EXPECT_THAT(response.error().message, HasSubstr("redirects more than"));
}

TEST(RetryAfter, ReadsSecondsAndDates) {
  const auto of = [](const std::string& value) {
    return retry_after_seconds({.status = 429, .headers = {{"retry-after", value}}}, 784111700);
  };
  EXPECT_EQ(of("7"), 7u);
  EXPECT_EQ(of("Sun, 06 Nov 1994 08:49:37 GMT"), 77u);  // RFC 9110's own date: 784111777
  EXPECT_EQ(of("Sun, 06 Nov 1993 08:49:37 GMT"), 0u);
  EXPECT_EQ(of("soon"), std::nullopt);
  EXPECT_EQ(of("-1"), std::nullopt);
  EXPECT_EQ(of(""), std::nullopt);
}

TEST(UrlEncode, LeavesWhatIsPlain) {
  EXPECT_EQ(url_encode("refs/pr/1", false), "refs%2Fpr%2F1");
  EXPECT_EQ(url_encode("a b/Ü.gguf", true), "a%20b/%C3%9C.gguf");
}

}  // namespace
}  // namespace maru::hub
