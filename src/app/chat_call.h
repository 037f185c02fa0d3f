// app/chat_call.h - one streamed chat request to any OpenAI-compatible server, and when its tokens
// came.
//
// load_run.cc makes many at once, each thread with a ChatCaller of its own. It must not know what
// is asked or why. Source: the OpenAI API reference (chat streaming), server-sent events (HTML
// living standard, section 9.2).
// Threads: one owner.
#pragma once
#include <curl/curl.h>

#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace maru::app {

inline constexpr size_t kStreamBytesMax = 64 << 20;  // of one answer

struct ChatTimes {
  double first_seconds = 0;       // from the request to the first token
  std::vector<double> gaps = {};  // from each piece of the answer to the next, in seconds
  size_t n_prompt = 0;
  size_t n_cached = 0;
  size_t n_generated = 0;  // as the server counts, else pieces
  std::string text = {};
};

// The events of one stream, fed in whatever pieces the network gives.
class ChatStream {
 public:
  // The time of what comes next, in seconds since the request.
  void feed(std::string_view bytes, double seconds);
  // Errors: kUnavailable where the stream had an error, no token or no end.
  Result<ChatTimes> finish();

 private:
  void event(std::string_view data, double seconds);

  std::string line_;
  ChatTimes times_;
  double last_seconds_ = 0;
  size_t n_pieces_ = 0;
  size_t n_bytes_ = 0;
  bool is_done_ = false;
  std::string error_;
};

class ChatCaller {
 public:
  // url: as the openai client takes it, with "/v1".
  ChatCaller(const std::string& url, const std::string& api_key);
  ~ChatCaller();
  ChatCaller(const ChatCaller&) = delete;
  ChatCaller& operator=(const ChatCaller&) = delete;

  // Errors: kUnavailable for anything but a whole answer, with the server's words.
  Result<ChatTimes> call(const Json& body, std::stop_token stop);

 private:
  const std::string url_;
  CURL* handle_;
  curl_slist* headers_ = nullptr;
};

}  // namespace maru::app
