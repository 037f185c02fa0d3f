// hub/test_network.h - for tests: a network whose answers a test writes, and a clock that its waits
// move.
#pragma once
#include <cstdio>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "hub/download.h"
#include "hub/http.h"

namespace maru::hub {

struct FakeAnswer {
  int status = 200;
  std::map<std::string, std::string> headers = {};
  std::string body = {};
  bool cut = false;          // the connection breaks after the body
  bool unreachable = false;  // nothing comes at all
};

// Answers by a function of the test; remembers what was asked.
class FakeNetwork final : public HttpTransport {
 public:
  std::function<FakeAnswer(const HttpRequest&)> answer;

  Result<HttpResponse> exchange(const HttpRequest& request, const HttpSink& sink,
                                std::stop_token stop) override {
    FakeAnswer given{.unreachable = true};
    {
      const std::scoped_lock lock(mutex_);
      requests_.push_back(request);
      if (answer) given = answer(request);
    }
    if (stop.stop_requested()) return Error{ErrorCode::kCancelled, "stopped", {}};
    if (given.unreachable) return Error::unavailable("Could not resolve host");
    HttpResponse response{.status = given.status, .headers = given.headers, .url = request.url};
    if (sink.on_head && !sink.on_head(response)) return response;
    const auto bytes = std::as_bytes(std::span(given.body));
    if (!bytes.empty() && !sink.on_body(bytes)) return response;
    if (given.cut) return Error::unavailable("the connection was cut");
    return response;
  }

  std::vector<HttpRequest> requests() {
    const std::scoped_lock lock(mutex_);
    return requests_;
  }

 private:
  std::mutex mutex_;
  std::vector<HttpRequest> requests_;
};

// What a server that knows ranges answers to a request for `content`.
inline FakeAnswer serve_ranges(const HttpRequest& request, const std::string& content,
                               const std::string& etag = "") {
  FakeAnswer answer;
  if (!etag.empty()) answer.headers["etag"] = etag;
  std::string range;
  bool stale = false;
  for (const auto& [name, value] : request.headers) {
    if (name == "Range") range = value;
    if (name == "If-Range") stale = value != etag;
  }
  size_t first = 0;
  size_t last = content.size() - 1;
  if (!stale && std::sscanf(range.c_str(), "bytes=%zu-%zu", &first, &last) == 2) {
    answer.status = 206;
    answer.headers["content-range"] = fmt::format("bytes {}-{}/{}", first, last, content.size());
  }
  answer.body = content.substr(first, last + 1 - first);
  answer.headers["content-length"] = std::to_string(answer.body.size());
  return answer;
}

}  // namespace maru::hub
