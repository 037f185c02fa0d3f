#include "app/chat_call.h"

#include <fmt/format.h>

#include <chrono>

#include "base/check.h"

namespace maru::app {
namespace {

constexpr long kConnectTimeoutSeconds = 10;

struct Exchange {
  CURL* handle;
  ChatStream stream;
  std::string error_body;
  std::chrono::steady_clock::time_point begin;
  std::stop_token stop;
};

size_t on_bytes(char* data, size_t, size_t n, void* opaque) {
  auto& exchange = *static_cast<Exchange*>(opaque);
  const std::chrono::duration<double> since = std::chrono::steady_clock::now() - exchange.begin;
  long status = 0;
  curl_easy_getinfo(exchange.handle, CURLINFO_RESPONSE_CODE, &status);
  if (status == 200) {
    exchange.stream.feed({data, n}, since.count());
  } else if (exchange.error_body.size() < 4096) {
    exchange.error_body.append(data, n);
  }
  return n;
}

int on_progress(void* opaque, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<Exchange*>(opaque)->stop.stop_requested() ? 1 : 0;
}

}  // namespace

void ChatStream::feed(std::string_view bytes, double seconds) {
  n_bytes_ += bytes.size();
  if (n_bytes_ > kStreamBytesMax) error_ = "the answer is too long";
  while (error_.empty() && !bytes.empty()) {
    const size_t end = bytes.find('\n');
    line_ += bytes.substr(0, end);
    if (end == std::string_view::npos) return;
    bytes.remove_prefix(end + 1);
    std::string_view line = line_;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with("data:")) {
      line.remove_prefix(5);
      if (line.starts_with(' ')) line.remove_prefix(1);
      event(line, seconds);
    }
    line_.clear();
  }
}

void ChatStream::event(std::string_view data, double seconds) {
  if (data == "[DONE]") {
    is_done_ = true;
    return;
  }
  const auto parsed = parse_json(data);
  if (!parsed.ok() || !parsed->is_object()) {
    error_ = fmt::format("an event is no JSON object: {:.80}", data);
    return;
  }
  const auto member = [](const Json& object, const char* name) -> const Json& {
    static const Json kNone;
    const auto found = object.is_object() ? object.find(name) : object.end();
    return object.is_object() && found != object.end() ? *found : kNone;
  };
  const auto count = [&](const Json& object, const char* name) {
    const Json& value = member(object, name);
    return value.is_number_unsigned() ? value.get<size_t>() : 0;
  };
  if (const Json& error = member(*parsed, "error"); !error.is_null()) {
    error_ = dump_json(error);
    return;
  }
  if (const Json& usage = member(*parsed, "usage"); usage.is_object()) {
    times_.n_prompt = count(usage, "prompt_tokens");
    times_.n_generated = count(usage, "completion_tokens");
    times_.n_cached = count(member(usage, "prompt_tokens_details"), "cached_tokens");
  }
  const Json& choices = member(*parsed, "choices");
  if (!choices.is_array() || choices.empty()) return;
  const Json& content = member(member(choices[0], "delta"), "content");
  if (!content.is_string() || content.get_ref<const std::string&>().empty()) return;
  times_.text += content.get_ref<const std::string&>();
  if (n_pieces_++ == 0) {
    times_.first_seconds = seconds;
  } else {
    times_.gaps.push_back(seconds - last_seconds_);
  }
  last_seconds_ = seconds;
}

Result<ChatTimes> ChatStream::finish() {
  if (!error_.empty()) return Error::unavailable(error_);
  if (!is_done_) return Error::unavailable("the stream ended before [DONE]");
  if (n_pieces_ == 0) return Error::unavailable("the stream had no token");
  if (times_.n_generated == 0) times_.n_generated = n_pieces_;
  return std::move(times_);
}

ChatCaller::ChatCaller(const std::string& url, const std::string& api_key)
    : url_(url + "/chat/completions"), handle_(curl_easy_init()) {
  CHECK(handle_ != nullptr);
  headers_ = curl_slist_append(headers_, "Content-Type: application/json");
  headers_ = curl_slist_append(headers_, "Expect:");
  headers_ = curl_slist_append(headers_, ("Authorization: Bearer " + api_key).c_str());
}

ChatCaller::~ChatCaller() {
  curl_slist_free_all(headers_);
  curl_easy_cleanup(handle_);
}

Result<ChatTimes> ChatCaller::call(const Json& body, std::stop_token stop) {
  const std::string text = dump_json(body);
  Exchange exchange{handle_, {}, {}, std::chrono::steady_clock::now(), std::move(stop)};
  curl_easy_setopt(handle_, CURLOPT_URL, url_.c_str());
  curl_easy_setopt(handle_, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(handle_, CURLOPT_HTTPHEADER, headers_);
  curl_easy_setopt(handle_, CURLOPT_POSTFIELDS, text.c_str());
  curl_easy_setopt(handle_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(text.size()));
  curl_easy_setopt(handle_, CURLOPT_WRITEFUNCTION, on_bytes);
  curl_easy_setopt(handle_, CURLOPT_WRITEDATA, &exchange);
  curl_easy_setopt(handle_, CURLOPT_XFERINFOFUNCTION, on_progress);
  curl_easy_setopt(handle_, CURLOPT_XFERINFODATA, &exchange);
  curl_easy_setopt(handle_, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(handle_, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle_, CURLOPT_CONNECTTIMEOUT, kConnectTimeoutSeconds);
  curl_easy_setopt(handle_, CURLOPT_TCP_NODELAY, 1L);
  const CURLcode code = curl_easy_perform(handle_);
  if (code != CURLE_OK) {
    return Error::unavailable(fmt::format("{}: {}", url_, curl_easy_strerror(code)));
  }
  long status = 0;
  curl_easy_getinfo(handle_, CURLINFO_RESPONSE_CODE, &status);
  if (status != 200) {
    return Error::unavailable(fmt::format("status {}: {:.300}", status, exchange.error_body));
  }
  return exchange.stream.finish();
}

}  // namespace maru::app
