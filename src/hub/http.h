// hub/http.h - calls out by HTTP: the one seam to the network of this folder, and what keeps a
// secret where it belongs.
//
// hub_source.h and download.h call http_get(); HttpTransport makes one exchange and follows
// nothing, so that every hop of a redirect is judged here. CurlTransport is the real one (libcurl,
// TLS always verified); tests pass one of their own.
// https to anywhere; plain http to loopback addresses alone, which a test's server has.
// Threads: a transport may be used from several at once.
// Source: RFC 9110 (ranges, redirects, Retry-After), RFC 6750 (bearer tokens).
#pragma once
#include <curl/curl.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace maru::hub {

inline constexpr size_t kRedirectsMax = 10;
inline constexpr size_t kUrlBytesMax = 16 * 1024;          // signed addresses are long
inline constexpr size_t kHeaderBytesMax = 64 * 1024;       // of one response, all headers together
inline constexpr size_t kTextBytesMax = 32 * 1024 * 1024;  // of an answer that is kept in memory

struct Url {
  std::string text;    // whole, as sent
  std::string origin;  // "https://host:443": scheme, host and port
  std::string host;
  std::string path;  // decoded by nobody
  bool loopback = false;
};

// Errors: kInvalidArgument: no URL, another scheme, http to another machine, a user name in it.
Result<Url> parse_url(std::string_view text);
// What `location` means in an answer of `base`: absolute or relative. Errors: as parse_url().
Result<Url> resolve_url(const Url& base, std::string_view location);

struct HttpRequest {
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string bearer = {};  // a token; goes to the origin of `url` and nowhere else
};

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string> headers = {};  // names in lower case
  std::string url = {};                             // that answered
  // A header's value, or empty.
  std::string_view header(std::string_view lower_case_name) const;
};

// What a caller does with an answer. Either gives false to end the exchange at once, which then
// counts as a success.
struct HttpSink {
  std::function<bool(const HttpResponse&)> on_head;  // may be empty: wanted
  std::function<bool(std::span<const std::byte>)> on_body;
};

class HttpTransport {
 public:
  virtual ~HttpTransport() = default;
  // GETs request.url, sending `bearer` where it is set; redirects come back as they are.
  // Errors: kUnavailable (no connection, or cut before the end), kIo (the certificate is not
  // trusted), kCorrupt (no HTTP), kCancelled.
  virtual Result<HttpResponse> exchange(const HttpRequest& request, const HttpSink& sink,
                                        std::stop_token stop) = 0;
};

class CurlTransport final : public HttpTransport {
 public:
  // ca_file: certificates to trust instead of the system's; empty for those.
  explicit CurlTransport(std::string ca_file = {});
  ~CurlTransport() override;
  CurlTransport(const CurlTransport&) = delete;
  CurlTransport& operator=(const CurlTransport&) = delete;
  Result<HttpResponse> exchange(const HttpRequest& request, const HttpSink& sink,
                                std::stop_token stop) override;

 private:
  CURL* take();

  const std::string ca_file_;
  std::mutex mutex_;
  std::vector<CURL*> idle_;  // with their open connections
};

// GETs, following redirects. The sink sees only the last answer. The token is dropped for good at
// the first hop to another origin; https never becomes http. "x-linked-etag" of an earlier hop is
// kept among the headers (the hub says there what the file must hash to).
// Errors: those of exchange(); kCorrupt for redirects that go in circles or to where they must not.
Result<HttpResponse> http_get(HttpTransport& transport, const HttpRequest& request,
                              const HttpSink& sink, std::stop_token stop);

// The same for short texts: body and response. Errors: and kResourceExhausted.
struct HttpText {
  HttpResponse response;
  std::string body;
};
Result<HttpText> http_get_text(HttpTransport& transport, const HttpRequest& request,
                               std::stop_token stop);

// Seconds of a Retry-After header: a number, or a date after `now`. nullopt where it says neither.
std::optional<uint64_t> retry_after_seconds(const HttpResponse& response, int64_t unix_now);

// Percent-encodes what is no unreserved character; '/' stays where keep_slash.
std::string url_encode(std::string_view text, bool keep_slash);

}  // namespace maru::hub
