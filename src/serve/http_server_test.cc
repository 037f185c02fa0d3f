// serve/http_server_test.cc - real sockets on loopback: framing, limits, streams, peers that go.
#include "serve/http_server.h"

#include <gtest/gtest.h>

#include <future>

#include "serve/test_client.h"

namespace maru::serve {
namespace {

using std::chrono::milliseconds;

// A server with one handler per kind of answer, and a way to see how a stream was cut off.
class HttpServerTest : public ::testing::Test {
 protected:
  void start(ServerLimits limits = {}) {
    Router router;
    router.add("GET", "/plain", RunOn::kIoThread, [](auto request, auto writer) {
      Response response;
      response.content_type = "text/plain";
      response.body = "plain " + request->query;
      writer->send(std::move(response));
    });
    router.add("POST", "/echo", RunOn::kWorker, [](auto request, auto writer) {
      Response response;
      response.body = request->body;
      writer->send(std::move(response));
    });
    router.add("POST", "/throw", RunOn::kWorker,
               [](auto, auto) { throw std::runtime_error("a library threw"); });
    router.add("GET", "/cut", RunOn::kWorker, [](auto, auto writer) {
      writer->start_stream({});
      writer->write("half");
    });
    router.add("GET", "/stream", RunOn::kWorker, [this](auto, auto writer) {
      writer->start_stream({});
      writer->write("first");
      writer->on_abort([this](AbortReason reason) { aborted_.set_value(reason); });
      stream_.set_value(writer);
    });
    router.add("GET", "/wait", RunOn::kWorker, [this](auto, auto writer) {
      writer->on_abort([this](AbortReason reason) { aborted_.set_value(reason); });
      stream_.set_value(writer);
    });
    router.add("GET", "/items/{id}", RunOn::kIoThread, [](auto request, auto writer) {
      Response response;
      response.body = request->capture;
      writer->send(std::move(response));
    });
    ServerOptions options = test_server_options();
    options.limits = limits;
    options.host_names = {"maru.example"};
    auto server = Server::start(std::move(options), std::move(router));
    ASSERT_TRUE(server.ok()) << server.error().message;
    server_ = std::move(server).value();
  }
  uint16_t port() const { return server_->port(); }
  std::shared_ptr<ResponseWriter> stream() { return stream_.get_future().get(); }

  std::promise<AbortReason> aborted_;
  std::promise<std::shared_ptr<ResponseWriter>> stream_;
  std::unique_ptr<Server> server_;
};

std::string error_code_of(const TestReply& reply) {
  const Json json = reply.json();
  if (!json.is_object() || !json.contains("error")) return "no error body: " + reply.body;
  return json["error"]["code"].get<std::string>();
}

TEST_F(HttpServerTest, AnswersWithSecurityHeadersAndKeepsTheConnection) {
  start();
  TestClient client(port());
  for (int i = 0; i < 3; ++i) {
    const TestReply reply = client.get("/plain?a=1");
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.body, "plain a=1");
    EXPECT_EQ(reply.header("x-content-type-options"), "nosniff");
    EXPECT_EQ(reply.header("referrer-policy"), "no-referrer");
    EXPECT_EQ(reply.header("cross-origin-opener-policy"), "same-origin");
    EXPECT_NE(reply.header("content-security-policy").find("default-src 'none'"),
              std::string::npos);
    EXPECT_EQ(reply.header("x-request-id").substr(0, 4), "req_");
  }
}

TEST_F(HttpServerTest, PipelinedRequestsAreAnsweredInOrder) {
  start();
  TestClient client(port());
  std::string requests;
  for (int i = 0; i < 20; ++i) {
    requests += "GET /plain?" + std::to_string(i) + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
  }
  client.send(requests);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(client.read_reply().body, "plain " + std::to_string(i));
  }
}

TEST_F(HttpServerTest, HeadHasTheLengthAndNoBody) {
  start();
  TestClient client(port());
  client.send("HEAD /plain HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const TestReply reply = client.read_reply(/*has_body=*/false);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.header("content-length"), "6");
  EXPECT_EQ(client.get("/plain?x").body, "plain x");
}

TEST_F(HttpServerTest, UnknownPathAndMethod) {
  start();
  TestClient client(port());
  EXPECT_EQ(error_code_of(client.get("/nothing")), "not_found");
  const TestReply reply = client.post("/plain", "{}");
  EXPECT_EQ(reply.status, 405);
  EXPECT_EQ(reply.header("allow"), "GET");
  EXPECT_EQ(client.get("/items/a%3Ab").body, "a:b");
}

TEST_F(HttpServerTest, BodiesUpToTheLimitPassAndAboveGet413) {
  ServerLimits limits;
  limits.body_bytes = 1000;
  start(limits);
  TestClient client(port());
  EXPECT_EQ(client.post("/echo", std::string(1000, 'x')).body, std::string(1000, 'x'));
  const TestReply reply = client.post("/echo", std::string(1001, 'x'));
  EXPECT_EQ(reply.status, 413);
  EXPECT_NE(reply.body.find("1000 bytes"), std::string::npos);
  EXPECT_TRUE(client.is_at_end());

  TestClient chunked(port());
  chunked.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
  chunked.send("400\r\n" + std::string(1024, 'x') + "\r\n0\r\n\r\n");
  EXPECT_EQ(chunked.read_reply().status, 413);
}

TEST_F(HttpServerTest, ExpectContinueIsAnsweredBeforeTheBody) {
  start();
  TestClient client(port());
  client.send(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
      "Content-Length: 2\r\n\r\n");
  std::string head;
  ASSERT_TRUE(client.read_until("\r\n\r\n", head));
  EXPECT_EQ(head, "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("ok");
  EXPECT_EQ(client.read_reply().body, "ok");
}

TEST_F(HttpServerTest, TooManyHeaders) {
  start();
  std::string lines;
  for (int i = 0; i < 100; ++i) lines += "x-" + std::to_string(i) + ": 1\r\n";
  EXPECT_EQ(TestClient(port()).get("/plain", lines).status, 431);
  EXPECT_EQ(TestClient(port()).get("/plain", "x: " + std::string(20'000, 'a') + "\r\n").status,
            431);
  EXPECT_EQ(TestClient(port()).get("/plain", "x: " + std::string(10'000, 'a') + "\r\n").status,
            200);
}

TEST_F(HttpServerTest, MalformedRequestsAreRefusedAndTheServerGoesOn) {
  start();
  const std::string host = "Host: localhost\r\n";
  const std::vector<std::string> requests = {
      "GARBAGE\r\n\r\n",
      "GET /plain HTTP/1.1\r\nbroken line\r\n\r\n",
      "GET /plain HTTP/9.9\r\n" + host + "\r\n",
      "GET plain HTTP/1.1\r\n" + host + "\r\n",
      "POST /echo HTTP/1.1\r\n" + host + "Content-Length: -2\r\n\r\n",
      "POST /echo HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
      "POST /echo HTTP/1.1\r\n" + host +
          "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n",
      "POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n-2\r\nxx\r\n",
      "POST /echo HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
      "GET /plain HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
      "GET /plain HTTP/1.1\r\n\r\n",
  };
  for (const std::string& request : requests) {
    TestClient client(port());
    client.send(request);
    const TestReply reply = client.read_reply();
    EXPECT_GE(reply.status, 400) << request;
    EXPECT_LT(reply.status, 600) << request;
    EXPECT_NE(error_code_of(reply), "") << request;
    EXPECT_TRUE(client.is_at_end()) << request;
  }
  EXPECT_EQ(TestClient(port()).get("/plain").status, 200);
}

TEST_F(HttpServerTest, HostAndOriginAreChecked) {
  start();
  const auto status = [&](const std::string& method, const std::string& headers) {
    TestClient client(port());
    client.send(method + " /plain HTTP/1.1\r\n" + headers + "\r\n");
    return client.read_reply().status;
  };
  EXPECT_EQ(status("GET", "Host: maru.example\r\n"), 200);
  EXPECT_EQ(status("GET", "Host: evil.example\r\n"), 403);
  EXPECT_EQ(status("GET", "Host:\r\n"), 403);
  EXPECT_EQ(status("POST", "Host: localhost:1\r\nOrigin: http://evil.example\r\n"), 403);
  EXPECT_EQ(status("POST", "Host: localhost:1\r\nOrigin: null\r\n"), 403);
  EXPECT_EQ(status("POST", "Host: localhost:1\r\nOrigin: http://localhost:1\r\n"), 405);
}

TEST_F(HttpServerTest, SlowHeadersAreTimedOut) {
  ServerLimits limits;
  limits.header_timeout = milliseconds(50);
  start(limits);
  TestClient client(port());
  client.send("GET /plain HTTP/1.1\r\nHost: local");
  EXPECT_TRUE(client.is_at_end());  // closed: there is no request to answer
}

TEST_F(HttpServerTest, AHandlerThatThrowsOrLeavesAnswers500) {
  start();
  TestClient client(port());
  EXPECT_EQ(client.post("/throw", "{}").status, 500);
  EXPECT_EQ(client.get("/plain").status, 200);
}

TEST_F(HttpServerTest, AStreamThatIsLeftIsNotEndedProperly) {
  start();
  const TestReply reply = TestClient(port()).get("/cut");
  EXPECT_FALSE(reply.is_complete);
}

TEST_F(HttpServerTest, StreamsArriveInPiecesAndTheConnectionStays) {
  start();
  TestClient client(port());
  client.send("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
  std::string text;
  ASSERT_TRUE(client.read_until("\r\n\r\n", text));
  ASSERT_TRUE(client.read_chunk(text));
  EXPECT_EQ(text, "first");
  const auto writer = stream();
  EXPECT_TRUE(writer->write("second"));
  ASSERT_TRUE(client.read_chunk(text));
  EXPECT_EQ(text, "second");
  writer->finish();
  ASSERT_TRUE(client.read_chunk(text));
  EXPECT_EQ(text, "");
  EXPECT_EQ(client.get("/plain").status, 200);
}

TEST_F(HttpServerTest, Http10StreamsEndWithTheConnection) {
  start();
  TestClient client(port());
  client.send("GET /stream HTTP/1.0\r\nHost: localhost\r\n\r\n");
  const auto writer = stream();
  writer->write(" and last");
  writer->finish();
  const TestReply reply = client.read_reply();
  EXPECT_EQ(reply.header("transfer-encoding"), "");
  EXPECT_EQ(reply.body, "first and last");
}

TEST_F(HttpServerTest, APeerThatGoesAwayIsNoticedWhileStreaming) {
  start();
  TestClient client(port());
  client.send("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto writer = stream();
  client.close();
  EXPECT_EQ(aborted_.get_future().get(), AbortReason::kPeerGone);
  EXPECT_FALSE(writer->write("more"));
}

TEST_F(HttpServerTest, APeerThatGoesAwayIsNoticedWhileItWaits) {
  start();
  TestClient client(port());
  client.send("GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto writer = stream();
  client.close();
  EXPECT_EQ(aborted_.get_future().get(), AbortReason::kPeerGone);
  writer->send({});
}

TEST_F(HttpServerTest, ASlowReaderIsCutOffAtTheQueueLimit) {
  ServerLimits limits;
  limits.stream_queue_bytes = 64 << 10;
  start(limits);
  TestClient client(port(), 4096);
  client.send("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto writer = stream();
  const std::string piece(1024, 'x');
  size_t n_bytes = 0;
  // The kernel's buffers take some megabytes at most; without a limit this would not end.
  while (n_bytes < (256u << 20) && writer->write(piece)) n_bytes += piece.size();
  EXPECT_LT(n_bytes, 256u << 20);
  EXPECT_EQ(aborted_.get_future().get(), AbortReason::kTooSlow);
}

TEST_F(HttpServerTest, ConnectionsAboveTheLimitAreTurnedAway) {
  ServerLimits limits;
  limits.connections = 2;
  start(limits);
  TestClient first(port());
  TestClient second(port());
  EXPECT_EQ(first.get("/plain").status, 200);
  EXPECT_EQ(second.get("/plain").status, 200);
  TestClient third(port());
  EXPECT_EQ(third.read_reply().status, 503);
}

TEST_F(HttpServerTest, StopLetsAStreamSayThatItWasCutOff) {
  ServerLimits limits;
  limits.stop_grace = milliseconds(10);
  start(limits);
  TestClient client(port());
  TestClient idle(port());
  EXPECT_EQ(idle.get("/plain").status, 200);
  client.send("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto writer = stream();
  auto told = std::async(std::launch::async, [&] {
    EXPECT_EQ(aborted_.get_future().get(), AbortReason::kStopping);
    writer->write("stopping");
    writer->finish();
  });
  server_->stop();
  told.get();
  const TestReply reply = client.read_reply();
  EXPECT_TRUE(reply.is_complete);
  EXPECT_EQ(reply.body, "firststopping");
  EXPECT_TRUE(idle.is_at_end());
  EXPECT_EQ(server_->n_connections(), 0u);
}

TEST_F(HttpServerTest, StopIsBoundedWhereAStreamSaysNothing) {
  ServerLimits limits;
  limits.stop_grace = milliseconds(1);
  limits.stop_last = milliseconds(1);
  start(limits);
  TestClient client(port());
  client.send("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto writer = stream();
  server_->stop();
  EXPECT_FALSE(writer->write("late"));
  server_.reset();
  writer->finish();  // a late event of an engine finds no server, and no harm is done
}

TEST_F(HttpServerTest, APortInUseIsAnError) {
  start();
  ServerOptions options = test_server_options();
  options.port = port();
  const auto second = Server::start(std::move(options), {});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace maru::serve
