// serve/page_test.cc - the static page over a real socket: encodings, 304, caching, not built.
#include "serve/page.h"

#include <gtest/gtest.h>

#include <array>

#include "serve/test_client.h"

namespace maru::serve {
namespace {

constexpr std::array<PageFile, 4> kFiles{{
    {"/assets/app-1a2b.js", "text/javascript; charset=utf-8", "", "\"js\"", "let a;"},
    {"/assets/app-1a2b.js", "text/javascript; charset=utf-8", "br", "\"jsbr\"", "BR"},
    {"/assets/app-1a2b.js", "text/javascript; charset=utf-8", "gzip", "\"jsgz\"", "GZ"},
    {"/index.html", "text/html; charset=utf-8", "", "\"html\"", "<!doctype html>"},
}};

std::unique_ptr<Server> start(std::span<const PageFile> files) {
  Router router;
  add_page_routes(router, files);
  auto server = Server::start(test_server_options(), std::move(router));
  return server.ok() ? std::move(server).value() : nullptr;
}

TEST(PageTest, TheIndexIsAskedForEachTimeAndAnsweredBy304) {
  const auto server = start(kFiles);
  TestClient client(server->port());
  for (const char* path : {"/", "/index.html"}) {
    const TestReply reply = client.get(path);
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.body, "<!doctype html>");
    EXPECT_EQ(reply.header("content-type"), "text/html; charset=utf-8");
    EXPECT_EQ(reply.header("cache-control"), "no-cache");
    const TestReply again = client.get(path, "If-None-Match: " + reply.header("etag") + "\r\n");
    EXPECT_EQ(again.status, 304);
    EXPECT_EQ(again.header("content-length"), "");
  }
}

TEST(PageTest, TheBestAcceptedEncodingIsSent) {
  const auto server = start(kFiles);
  TestClient client(server->port());
  const auto body = [&](const std::string& accepted) {
    const TestReply reply =
        client.get("/assets/app-1a2b.js", "Accept-Encoding: " + accepted + "\r\n");
    EXPECT_EQ(reply.header("vary"), "Accept-Encoding");
    return reply.header("content-encoding") + "/" + reply.body;
  };
  EXPECT_EQ(body("gzip, deflate, br"), "br/BR");
  EXPECT_EQ(body("gzip"), "gzip/GZ");
  EXPECT_EQ(body("br;q=0, gzip;q=0.5"), "gzip/GZ");
  EXPECT_EQ(body("identity"), "/let a;");
  EXPECT_EQ(body(""), "/let a;");
}

TEST(PageTest, HashedNamesAreKeptForever) {
  const auto server = start(kFiles);
  EXPECT_EQ(TestClient(server->port()).get("/assets/app-1a2b.js").header("cache-control"),
            "public, max-age=31536000, immutable");
}

TEST(PageTest, WithoutAPageTheServerSaysSo) {
  const auto server = start({});
  const TestReply reply = TestClient(server->port()).get("/");
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.json()["error"]["code"], "page_not_built");
}

// Whatever was built into this binary holds what page.h promises.
TEST(PageTest, TheEmbeddedListIsSortedAndHasPlainBytes) {
  std::string_view previous;
  for (const PageFile& file : page_files()) {
    EXPECT_LE(previous, file.path);
    EXPECT_EQ(file.encoding.empty(), previous != file.path) << file.path << " " << file.encoding;
    EXPECT_EQ(file.path.front(), '/');
    EXPECT_FALSE(file.content_type.empty());
    EXPECT_EQ(file.etag.front(), '"');
    previous = file.path;
  }
}

}  // namespace
}  // namespace maru::serve
