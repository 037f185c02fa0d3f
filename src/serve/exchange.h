// serve/exchange.h - what a handler writes and a connection sends: one answer, a bounded queue, and
// how it was cut off.
//
// http_server.cc makes one per request and reads it on the connection's strand; the handler's side
// is the ResponseWriter. Knows no sockets. Threads: all methods from any thread.
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "serve/http.h"

namespace maru::serve {

class Exchange {
 public:
  // notify is called, under the lock, whenever the connection has something to look at: it posts.
  Exchange(size_t queue_bytes_max, std::function<void()> notify)
      : queue_bytes_max_(queue_bytes_max), notify_(std::move(notify)) {}

  // The handler's side. The exchange lives as long as either side holds it.
  static std::shared_ptr<ResponseWriter> make_writer(std::shared_ptr<Exchange> exchange);

  // What is new since the last call.
  struct Output {
    std::optional<Response> head;  // at most once
    bool is_stream = false;        // body follows in pieces
    std::string bytes;             // of the stream
    bool finished = false;         // nothing follows
    bool cut = false;              // the handler left without finishing: close, do not pretend
    bool empty() const { return !head && bytes.empty() && !finished && !cut; }
  };
  Output take();
  // The bytes of the last take() have left; they no longer count against the queue.
  void sent();
  // True once the queue was full: the connection is to be closed.
  bool overflowed() const;
  // Cuts the answer off and calls the handler back, unless it is complete or cut off already.
  void abort(AbortReason reason);
  // The connection is gone: nothing is notified or queued any more.
  void detach();

 private:
  class Writer;

  void set_head(Response head, bool is_stream);
  bool write(std::string_view bytes);
  void finish();
  void on_abort(std::function<void(AbortReason)> callback);
  void abandon();
  void notify() const {
    if (notify_) notify_();
  }

  mutable std::mutex mutex_;
  const size_t queue_bytes_max_;
  std::function<void()> notify_;
  std::optional<Response> head_;
  bool has_head_ = false;
  bool is_stream_ = false;
  bool finished_ = false;
  bool cut_ = false;
  bool overflowed_ = false;
  std::string queue_;
  size_t n_bytes_sending_ = 0;
  std::optional<AbortReason> aborted_;
  std::function<void(AbortReason)> abort_callback_;
};

}  // namespace maru::serve
