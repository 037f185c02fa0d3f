// serve/exchange.cc - see exchange.h.
#include "serve/exchange.h"

#include <utility>

#include "base/check.h"
#include "serve/errors.h"

namespace maru::serve {

class Exchange::Writer final : public ResponseWriter {
 public:
  explicit Writer(std::shared_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}
  ~Writer() override { exchange_->abandon(); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void send(Response response) override { exchange_->set_head(std::move(response), false); }
  void start_stream(Response head) override { exchange_->set_head(std::move(head), true); }
  bool write(std::string_view bytes) override { return exchange_->write(bytes); }
  void finish() override { exchange_->finish(); }
  void on_abort(std::function<void(AbortReason)> callback) override {
    exchange_->on_abort(std::move(callback));
  }

 private:
  std::shared_ptr<Exchange> exchange_;
};

std::shared_ptr<ResponseWriter> Exchange::make_writer(std::shared_ptr<Exchange> exchange) {
  return std::make_shared<Writer>(std::move(exchange));
}

void Exchange::set_head(Response head, bool is_stream) {
  const std::lock_guard lock(mutex_);
  CHECK(!has_head_);
  has_head_ = true;
  head_ = std::move(head);
  is_stream_ = is_stream;
  finished_ = !is_stream;
  notify();
}

bool Exchange::write(std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  CHECK(is_stream_);
  const bool is_lost = aborted_ && *aborted_ != AbortReason::kStopping;
  if (finished_ || overflowed_ || is_lost || !notify_) return false;
  if (queue_.size() + n_bytes_sending_ + bytes.size() > queue_bytes_max_) {
    overflowed_ = true;
    queue_.clear();
  } else {
    queue_ += bytes;
  }
  notify();
  return !overflowed_;
}

void Exchange::finish() {
  const std::lock_guard lock(mutex_);
  CHECK(is_stream_);
  finished_ = true;
  abort_callback_ = nullptr;
  notify();
}

void Exchange::on_abort(std::function<void(AbortReason)> callback) {
  AbortReason reason;
  {
    const std::lock_guard lock(mutex_);
    if (finished_) return;
    if (!aborted_) {
      abort_callback_ = std::move(callback);
      return;
    }
    reason = *aborted_;
  }
  callback(reason);
}

void Exchange::abandon() {
  {
    const std::lock_guard lock(mutex_);
    abort_callback_ = nullptr;
    if (has_head_) {
      cut_ = !finished_;
      if (cut_) notify();
      return;
    }
  }
  set_head(error_response(Error::internal("the request ended without an answer")), false);
}

Exchange::Output Exchange::take() {
  const std::lock_guard lock(mutex_);
  Output output;
  output.head = std::exchange(head_, std::nullopt);
  output.is_stream = is_stream_;
  output.bytes = std::exchange(queue_, {});
  n_bytes_sending_ = output.bytes.size();
  output.finished = has_head_ && finished_;
  output.cut = cut_;
  return output;
}

void Exchange::sent() {
  const std::lock_guard lock(mutex_);
  n_bytes_sending_ = 0;
}

bool Exchange::overflowed() const {
  const std::lock_guard lock(mutex_);
  return overflowed_;
}

void Exchange::abort(AbortReason reason) {
  std::function<void(AbortReason)> callback;
  {
    const std::lock_guard lock(mutex_);
    // A stopping server may still lose the peer, and then writes must fail; the handler was told.
    if (finished_ || (aborted_ && *aborted_ != AbortReason::kStopping)) return;
    aborted_ = reason;
    callback = std::exchange(abort_callback_, nullptr);
  }
  if (callback) callback(reason);
}

void Exchange::detach() {
  const std::lock_guard lock(mutex_);
  notify_ = nullptr;
}

}  // namespace maru::serve
