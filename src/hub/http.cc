#include "hub/http.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstring>
#include <memory>

#include "base/utf8.h"

namespace maru::hub {
namespace {

constexpr long kConnectTimeoutSeconds = 10;
constexpr long kStallSeconds = 30;  // without a byte for so long, the connection counts as cut
constexpr size_t kIdleMax = 8;

struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using UrlHandle = std::unique_ptr<CURLU, FreeUrl>;

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::string url_part(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return {};
  const std::string result(text);
  curl_free(text);
  return result;
}

bool is_loopback_host(std::string host) {
  if (host == "localhost") return true;
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  in_addr v4{};
  if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6{};
  return ::inet_pton(AF_INET6, host.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

// The checks of what `url` holds. libcurl parses, since it is libcurl that connects.
Result<Url> checked(CURLU* url, std::string_view shown_text) {
  const std::string shown = replace_invalid_utf8(shown_text.substr(0, 200));
  const std::string scheme = lower(url_part(url, CURLUPART_SCHEME));
  Url result;
  result.host = lower(url_part(url, CURLUPART_HOST));
  result.loopback = is_loopback_host(result.host);
  result.path = url_part(url, CURLUPART_PATH);
  if (result.host.empty()) return Error::invalid(fmt::format("'{}' names no host", shown));
  if (!url_part(url, CURLUPART_USER).empty() || !url_part(url, CURLUPART_PASSWORD).empty()) {
    return Error::invalid(fmt::format("'{}' holds a user name; Maru sends none", shown));
  }
  if (scheme != "https" && !(scheme == "http" && result.loopback)) {
    return Error::invalid(fmt::format(
        "'{}' is not https; plain http is for addresses of this machine (127.0.0.1) alone", shown));
  }
  curl_url_set(url, CURLUPART_FRAGMENT, nullptr, 0);
  result.text = url_part(url, CURLUPART_URL);
  result.origin = fmt::format("{}://{}:{}", scheme, result.host,
                              url_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT));
  return result;
}

Result<Url> parse_from(const Url* base, std::string_view text) {
  const auto is_control = [](unsigned char c) { return c <= ' ' || c == 0x7f; };
  if (text.empty() || text.size() > kUrlBytesMax || std::ranges::any_of(text, is_control)) {
    return Error::invalid(
        fmt::format("'{}' is no web address", replace_invalid_utf8(text.substr(0, 200))));
  }
  const UrlHandle url(curl_url());
  CHECK(url != nullptr);
  const std::string copy(text);
  CURLUcode code = CURLUE_OK;
  if (base != nullptr) code = curl_url_set(url.get(), CURLUPART_URL, base->text.c_str(), 0);
  // Any scheme parses, so that the error can name what is wrong with it.
  if (code == CURLUE_OK) {
    code = curl_url_set(url.get(), CURLUPART_URL, copy.c_str(), CURLU_NON_SUPPORT_SCHEME);
  }
  if (code != CURLUE_OK) {
    return Error::invalid(fmt::format("'{}' is no web address ({})",
                                      replace_invalid_utf8(text.substr(0, 200)),
                                      curl_url_strerror(code)));
  }
  return checked(url.get(), text);
}

// One exchange as libcurl's callbacks see it.
struct Exchange {
  const HttpSink& sink;
  std::stop_token stop;
  HttpResponse response;
  size_t n_header_bytes = 0;
  bool head_seen = false;
  bool head_wanted = true;
  bool enough = false;  // the sink said so
  bool too_long = false;

  bool begin_body() {
    if (!head_seen) {
      head_seen = true;
      head_wanted = !sink.on_head || sink.on_head(response);
    }
    return head_wanted;
  }
};

size_t on_header(char* data, size_t, size_t n_bytes, void* opaque) {
  auto& exchange = *static_cast<Exchange*>(opaque);
  const std::string_view line = trim({data, n_bytes});
  exchange.n_header_bytes += n_bytes;
  if (exchange.n_header_bytes > kHeaderBytesMax) {
    exchange.too_long = true;
    return 0;
  }
  if (line.starts_with("HTTP/")) {  // also after "100 Continue" and a proxy's own answer
    exchange.response.headers.clear();
    return n_bytes;
  }
  if (const size_t colon = line.find(':'); colon != std::string_view::npos) {
    exchange.response.headers[lower(trim(line.substr(0, colon)))] = trim(line.substr(colon + 1));
  }
  return n_bytes;
}

size_t on_body(char* data, size_t, size_t n_bytes, void* opaque) {
  auto& [exchange, handle] = *static_cast<std::pair<Exchange*, CURL*>*>(opaque);
  if (!exchange->head_seen) {
    long status = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
    exchange->response.status = static_cast<int>(status);
  }
  const bool more =
      exchange->begin_body() && exchange->sink.on_body(std::as_bytes(std::span(data, n_bytes)));
  if (more) return n_bytes;
  exchange->enough = true;
  return n_bytes == 0 ? 1 : 0;  // another count than was given ends the transfer
}

int on_progress(void* opaque, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<Exchange*>(opaque)->stop.stop_requested() ? 1 : 0;
}

// What holds for every exchange: where to, by which protocols, trusting whom, how patient.
void set_policy(CURL* handle, const Url& url, const std::string& ca_file) {
  curl_easy_setopt(handle, CURLOPT_URL, url.text.c_str());
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, url.loopback ? "http,https" : "https");
  curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(handle, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(handle, CURLOPT_SSL_VERIFYHOST, 2L);
  if (!ca_file.empty()) curl_easy_setopt(handle, CURLOPT_CAINFO, ca_file.c_str());
  if (url.loopback) curl_easy_setopt(handle, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_USERAGENT, "maru");
  curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, kConnectTimeoutSeconds);
  curl_easy_setopt(handle, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(handle, CURLOPT_LOW_SPEED_TIME, kStallSeconds);
}

Error transfer_error(CURLcode code, const std::string& host, const char* words) {
  const std::string why = *words != 0 ? words : curl_easy_strerror(code);
  switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
      return Error::io(fmt::format(
          "the certificate of {} is not trusted ({}): if a proxy of yours signs it, name its "
          "certificates in SSL_CERT_FILE",
          host, why));
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
      return Error::corrupt(fmt::format("{} did not answer as a web server does ({})", host, why));
    default:
      return Error::unavailable(fmt::format("{}: {}", host, why));
  }
}

}  // namespace

Result<Url> parse_url(std::string_view text) { return parse_from(nullptr, text); }

Result<Url> resolve_url(const Url& base, std::string_view location) {
  return parse_from(&base, location);
}

std::string_view HttpResponse::header(std::string_view lower_case_name) const {
  const auto found = headers.find(std::string(lower_case_name));
  return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

CurlTransport::CurlTransport(std::string ca_file) : ca_file_(std::move(ca_file)) {
  static const CURLcode global = curl_global_init(CURL_GLOBAL_DEFAULT);
  CHECK(global == CURLE_OK);
}

CurlTransport::~CurlTransport() {
  for (CURL* handle : idle_) curl_easy_cleanup(handle);
}

CURL* CurlTransport::take() {
  const std::scoped_lock lock(mutex_);
  if (idle_.empty()) return curl_easy_init();
  CURL* handle = idle_.back();
  idle_.pop_back();
  return handle;
}

Result<HttpResponse> CurlTransport::exchange(const HttpRequest& request, const HttpSink& sink,
                                             std::stop_token stop) {
  MARU_TRY(url, parse_url(request.url));
  if (request.bearer.find_first_of(" \t\r\n") != std::string::npos) {
    return Error::invalid("the token holds white space; a token is one word");
  }
  CURL* handle = take();
  CHECK(handle != nullptr);
  curl_easy_reset(handle);  // keeps the connections
  Exchange exchange{.sink = sink, .stop = stop, .response = {}};
  exchange.response.url = url.text;
  std::pair<Exchange*, CURL*> for_body(&exchange, handle);
  std::array<char, CURL_ERROR_SIZE> words{};

  std::unique_ptr<curl_slist, FreeList> headers;
  const auto add_header = [&](const std::string& line) {
    headers.reset(curl_slist_append(headers.release(), line.c_str()));
  };
  for (const auto& [name, value] : request.headers) add_header(name + ": " + value);
  if (!request.bearer.empty()) add_header("Authorization: Bearer " + request.bearer);

  set_policy(handle, url, ca_file_);
  curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, words.data());
  curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(handle, CURLOPT_HEADERDATA, &exchange);
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &for_body);
  curl_easy_setopt(handle, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, on_progress);
  curl_easy_setopt(handle, CURLOPT_XFERINFODATA, &exchange);

  const CURLcode code = curl_easy_perform(handle);
  long status = 0;
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
  {
    const std::scoped_lock lock(mutex_);
    if (idle_.size() < kIdleMax) {
      idle_.push_back(handle);
      handle = nullptr;
    }
  }
  if (handle != nullptr) curl_easy_cleanup(handle);
  if (stop.stop_requested()) return Error{ErrorCode::kCancelled, "stopped", {}};
  if (exchange.too_long) {
    return Error::corrupt(
        fmt::format("{} sent more than {} bytes of headers", url.host, kHeaderBytesMax));
  }
  exchange.response.status = static_cast<int>(status);
  if (code != CURLE_OK && !exchange.enough) return transfer_error(code, url.host, words.data());
  exchange.begin_body();  // an answer without a body has a head, too
  return std::move(exchange.response);
}

Result<HttpResponse> http_get(HttpTransport& transport, const HttpRequest& request,
                              const HttpSink& sink, std::stop_token stop) {
  MARU_TRY(url, parse_url(request.url));
  HttpRequest hop = request;
  std::string linked_etag;
  for (size_t n = 0; n <= kRedirectsMax; ++n) {
    hop.url = url.text;
    bool redirected = false;
    HttpSink watched;
    watched.on_head = [&](const HttpResponse& head) {
      redirected = head.status >= 300 && head.status < 400 && !head.header("location").empty();
      if (redirected || !sink.on_head) return !redirected;
      HttpResponse whole = head;
      if (!linked_etag.empty()) whole.headers.try_emplace("x-linked-etag", linked_etag);
      return sink.on_head(whole);
    };
    watched.on_body = sink.on_body;
    MARU_TRY(response, transport.exchange(hop, watched, stop));
    if (linked_etag.empty()) linked_etag = response.header("x-linked-etag");
    if (!redirected) {
      if (!linked_etag.empty()) response.headers.try_emplace("x-linked-etag", linked_etag);
      return response;
    }
    const Result<Url> next = resolve_url(url, response.header("location"));
    if (!next.ok()) {
      return Error::corrupt(fmt::format("{} redirects to where Maru does not go: {}", url.host,
                                        next.error().message));
    }
    if (url.origin.starts_with("https:") && !next->origin.starts_with("https:")) {
      return Error::corrupt(fmt::format("{} redirects from https to http", url.host));
    }
    if (next->origin != url.origin) hop.bearer.clear();
    url = *next;
  }
  return Error::corrupt(
      fmt::format("'{}' redirects more than {} times", request.url, kRedirectsMax));
}

Result<HttpText> http_get_text(HttpTransport& transport, const HttpRequest& request,
                               std::stop_token stop) {
  HttpText text;
  bool too_long = false;
  HttpSink sink;
  sink.on_body = [&](std::span<const std::byte> bytes) {
    too_long = text.body.size() + bytes.size() > kTextBytesMax;
    if (!too_long) text.body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return !too_long;
  };
  MARU_TRY(response, http_get(transport, request, sink, stop));
  if (too_long) {
    return Error::exhausted(
        fmt::format("'{}' answers with more than {} bytes", request.url, kTextBytesMax));
  }
  text.response = std::move(response);
  return text;
}

std::optional<uint64_t> retry_after_seconds(const HttpResponse& response, int64_t unix_now) {
  const std::string value(response.header("retry-after"));
  if (value.empty()) return std::nullopt;
  uint64_t seconds = 0;
  const auto [at, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (error == std::errc() && at == value.data() + value.size()) return seconds;
  const time_t date = curl_getdate(value.c_str(), nullptr);
  if (date < 0) return std::nullopt;
  return date > unix_now ? static_cast<uint64_t>(date - unix_now) : 0;
}

std::string url_encode(std::string_view text, bool keep_slash) {
  std::string result;
  for (const char c : text) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) ||
                       std::string_view("-._~").find(c) != std::string_view::npos ||
                       (keep_slash && c == '/');
    if (plain) {
      result += c;
    } else {
      result += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return result;
}

}  // namespace maru::hub
