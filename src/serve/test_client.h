// serve/test_client.h - a blocking client on a plain socket for the tests of serve/: it sends any
// bytes, well formed or not, and reads exactly what comes back.
//
// Included by tests only. Threads: one per client. Every read has a deadline of 60 s, so that a
// test fails instead of hanging.
#pragma once
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "serve/http_server.h"

namespace maru::serve {

struct TestReply {
  int status = 0;  // 0: the connection ended without a reply
  std::string head;
  std::string body;         // chunks put together
  bool is_complete = true;  // false: the connection ended in the middle of the body
  Json json() const { return Json::parse(body, nullptr, false); }
  std::string header(std::string_view name) const;
};

class TestClient {
 public:
  explicit TestClient(uint16_t port, int receive_buffer_bytes = 0) {
    socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
    if (receive_buffer_bytes > 0) {
      ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof(int));
    }
    const timeval deadline{60, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    is_open_ = ::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  ~TestClient() { close(); }
  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;

  bool is_open() const { return is_open_; }
  void close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }

  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }

  TestReply get(std::string_view path, std::string_view more_headers = {}) {
    send("GET " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n" +
         std::string(more_headers) + "\r\n");
    return read_reply();
  }
  TestReply post(std::string_view path, std::string_view body) {
    send_post(path, body);
    return read_reply();
  }
  void send_post(std::string_view path, std::string_view body) {
    send("POST " + std::string(path) +
         " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + std::string(body));
  }

  // Reads head and body of one reply. Requires: the request was not HEAD.
  TestReply read_reply(bool has_body = true) {
    TestReply reply;
    if (!read_until("\r\n\r\n", reply.head)) return reply;
    reply.status = std::atoi(reply.head.substr(9, 3).c_str());
    if (!has_body || reply.status == 304) return reply;
    if (reply.header("transfer-encoding") == "chunked") {
      std::string chunk;
      do {
        reply.is_complete = read_chunk(chunk);
        reply.body += chunk;
      } while (reply.is_complete && !chunk.empty());
    } else if (const std::string length = reply.header("content-length"); !length.empty()) {
      reply.is_complete = read_exactly(std::strtoul(length.c_str(), nullptr, 10), reply.body);
    } else {
      while (fill()) {
      }
      reply.body = std::exchange(pending_, {});
    }
    return reply;
  }

  // One chunk of a stream whose head was read; empty at its end. False: the connection ended.
  bool read_chunk(std::string& chunk) {
    std::string size;
    chunk.clear();
    if (!read_until("\r\n", size)) return false;
    const size_t n_bytes = std::strtoul(size.c_str(), nullptr, 16);
    std::string line_end;
    return read_exactly(n_bytes, chunk) && read_exactly(2, line_end);
  }

  bool read_until(std::string_view end, std::string& out) {
    size_t found;
    while ((found = pending_.find(end)) == std::string::npos) {
      if (!fill()) return false;
    }
    out = pending_.substr(0, found + end.size());
    pending_.erase(0, found + end.size());
    return true;
  }
  // True where the server closed the connection and nothing more came.
  bool is_at_end() { return pending_.empty() && !fill(); }

 private:
  bool read_exactly(size_t n_bytes, std::string& out) {
    while (pending_.size() < n_bytes) {
      if (!fill()) {
        out = std::exchange(pending_, {});
        return false;
      }
    }
    out = pending_.substr(0, n_bytes);
    pending_.erase(0, n_bytes);
    return true;
  }
  bool fill() {
    char bytes[16384];
    const ssize_t n = ::recv(socket_, bytes, sizeof(bytes), 0);
    if (n <= 0) return false;
    pending_.append(bytes, static_cast<size_t>(n));
    return true;
  }

  int socket_ = -1;
  bool is_open_ = false;
  std::string pending_;
};

inline std::string TestReply::header(std::string_view name) const {
  const auto lower = [](std::string text) {
    for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
  };
  const std::string lower_head = lower(head);
  const size_t found = lower_head.find("\r\n" + std::string(name) + ": ");
  if (found == std::string::npos) return {};
  const size_t begin = found + name.size() + 4;
  return head.substr(begin, head.find("\r\n", begin) - begin);
}

// The JSON of each "data: " line; [DONE] becomes the string.
inline std::vector<Json> events_of(const TestReply& reply) {
  std::vector<Json> events;
  std::string_view text = reply.body;
  while (!text.empty()) {
    const size_t end = text.find("\n\n");
    EXPECT_TRUE(text.starts_with("data: "));
    EXPECT_NE(end, std::string_view::npos);
    if (end == std::string_view::npos) break;
    const std::string_view data = text.substr(6, end - 6);
    events.push_back(data == "[DONE]" ? Json("[DONE]") : Json::parse(data));
    text.remove_prefix(end + 2);
  }
  return events;
}

// Options of a server for tests: any free port, the system's clock and randomness.
inline ServerOptions test_server_options() {
  static const SystemClock clock;
  ServerOptions options;
  options.port = 0;
  options.clock = &clock;
  options.random = [] {
    thread_local std::mt19937_64 engine{std::random_device{}()};
    return engine();
  };
  return options;
}

}  // namespace maru::serve
