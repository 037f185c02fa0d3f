// serve/http_server.cc - the only file of serve/ that includes Beast: sockets, HTTP/1.1 framing,
// timeouts.
//
// One coroutine per connection on a strand of its own: wait, read the head, check it, read the
// body, hand over to the handler, send what the Exchange yields, again. While an answer is being
// made, a read stays armed, so that a peer that goes away is noticed at once.
// gcc 12.2 destroys aggregate and closure temporaries twice inside co_await expressions: arguments
// are named first.
#include "serve/http_server.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "serve/errors.h"
#include "serve/exchange.h"
#include "serve/origin.h"

namespace maru::serve {
namespace {

namespace net = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using net::ip::tcp;
using Parser = http::request_parser<http::string_body>;
using namespace std::chrono_literals;

constexpr auto kToken = net::as_tuple(net::use_awaitable);
constexpr size_t kReadAheadBytesMax = 16 << 10;  // of the next request, while one is answered
constexpr size_t kLingerBytesMax = 8 << 20;      // read and dropped after a refusal
constexpr auto kLingerTimeout = 2s;
constexpr auto kAcceptRetry = 50ms;  // after accept failed, most likely for want of descriptors

// The page is one origin: its own scripts, styles and API, pictures that it made itself, no frames
// around it, nothing from elsewhere.
constexpr std::string_view kSecurityHeaders =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
    "font-src 'self'; connect-src 'self'; img-src 'self' data: blob:; manifest-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n";

std::string to_lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

class Connection;

// What all connections share; owned by Server::Impl, outlives them.
struct Shared {
  ServerOptions options;
  Router router;
  net::thread_pool workers;
  std::atomic<size_t> n_handlers_waiting{0};
  std::atomic<bool> stopping{false};
  std::mutex mutex;
  std::condition_variable changed;
  std::unordered_set<Connection*> connections;  // each stays alive while it is in here

  Shared(ServerOptions given_options, Router given_router)
      : options(std::move(given_options)),
        router(std::move(given_router)),
        workers(options.n_workers) {}

  std::string make_request_id() const {
    return fmt::format("req_{:016x}{:016x}", options.random(), options.random());
  }
};

// How the current answer is framed.
struct Framing {
  unsigned version = 11;
  bool is_head_request = false;
  bool keep_alive = false;
  bool is_chunked = false;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Shared& shared, tcp::socket socket)
      : shared_(shared),
        stream_(std::move(socket)),
        buffer_(kReadAheadBytesMax + shared.options.limits.header_bytes + (64 << 10)),
        wake_(stream_.get_executor(), net::steady_timer::time_point::max()) {
    error_code ec;
    const auto endpoint = stream_.socket().remote_endpoint(ec);
    if (!ec) peer_ = endpoint.address().to_string();
    stream_.socket().set_option(tcp::no_delay(true), ec);
  }

  static net::awaitable<void> run(std::shared_ptr<Connection> self) {
    {
      const std::lock_guard lock(self->shared_.mutex);
      self->shared_.connections.insert(self.get());
    }
    bool is_open = true;
    while (is_open) is_open = co_await self->serve_one();
    self->close();
    const std::lock_guard lock(self->shared_.mutex);
    self->shared_.connections.erase(self.get());
    self->shared_.changed.notify_all();
  }

  // Threads: any.
  void post_stop(bool with_answers, bool at_once) {
    net::post(stream_.get_executor(), [self = shared_from_this(), with_answers, at_once] {
      if (!self->exchange_ || at_once) {
        self->abort(AbortReason::kPeerGone);
        self->close();
      } else if (with_answers) {
        self->abort(AbortReason::kStopping);
      }
    });
  }

 private:
  // One request and its answer. False: the connection is to be closed.
  net::awaitable<bool> serve_one();
  net::awaitable<bool> wait_for_request();
  net::awaitable<error_code> read_body(Parser& parser);
  net::awaitable<bool> answer(Framing framing);
  net::awaitable<bool> send_output(Exchange::Output output, Framing& framing);
  net::awaitable<void> refuse(Response response, Framing framing);
  net::awaitable<void> stop_watching();

  std::optional<Response> check_head(const Parser& parser) const;
  std::shared_ptr<Request> make_request(Parser& parser) const;
  void dispatch(std::shared_ptr<Request> request);
  std::string head_text(const Response& response, bool is_stream, Framing& framing) const;

  void watch();
  // Everything here runs on the strand, and a waiter looks at the state before it waits, without
  // suspending in between: no wake is lost.
  void wake() { wake_.cancel(); }
  void abort(AbortReason reason) {
    if (exchange_) exchange_->abort(reason);
    wake();
  }
  void close() {
    error_code ec;
    stream_.socket().close(ec);
    wake();
  }

  Shared& shared_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  net::steady_timer wake_;  // cancelled to wake answer()
  bool is_watching_ = false;
  bool is_first_ = true;
  std::string peer_;
  std::string request_id_;
  std::shared_ptr<Exchange> exchange_;
};

// Waits for the first byte of a request: long between two requests, short on a new connection.
net::awaitable<bool> Connection::wait_for_request() {
  const ServerLimits& limits = shared_.options.limits;
  stream_.expires_after(is_first_ ? limits.header_timeout : limits.idle_timeout);
  is_first_ = false;
  if (buffer_.size() > 0) co_return true;
  const auto space = buffer_.prepare(4096);
  const auto [ec, n_bytes] = co_await stream_.async_read_some(space, kToken);
  if (ec) co_return false;
  buffer_.commit(n_bytes);
  co_return true;
}

// The answer to what the parser or a limit refused; nothing where nobody is left to tell.
std::optional<Response> refusal_of(error_code ec, const ServerLimits& limits) {
  if (ec == http::error::body_limit) {
    const auto text = fmt::format("the body is larger than {} bytes", limits.body_bytes);
    return http_error(413, text, "body_too_large");
  }
  if (ec == http::error::header_limit || ec == http::error::buffer_overflow) {
    const auto text =
        fmt::format("the request line and headers are larger than {} bytes", limits.header_bytes);
    return http_error(431, text, "headers_too_large");
  }
  if (ec.category() == make_error_code(http::error::bad_method).category() &&
      ec != http::error::end_of_stream && ec != http::error::partial_message) {
    return http_error(400, "malformed HTTP: " + ec.message(), "malformed_request");
  }
  return std::nullopt;
}

std::optional<Response> Connection::check_head(const Parser& parser) const {
  const auto& head = parser.get();
  const ServerLimits& limits = shared_.options.limits;
  if (head.version() != 10 && head.version() != 11) {
    return http_error(505, "Maru speaks HTTP/1.0 and HTTP/1.1", "http_version");
  }
  if (static_cast<size_t>(std::distance(head.begin(), head.end())) > limits.header_lines) {
    const auto text = fmt::format("more than {} header lines", limits.header_lines);
    return http_error(431, text, "headers_too_large");
  }
  if (head.count(http::field::transfer_encoding) > 0 &&
      to_lower(view(head[http::field::transfer_encoding])) != "chunked") {
    return http_error(501, "the only Transfer-Encoding is chunked", "transfer_encoding");
  }
  const std::string_view host = view(head[http::field::host]);
  if (head.count(http::field::host) != 1 || !is_host_allowed(host, shared_.options.host_names)) {
    return http_error(403,
                      "the Host header must be given once and be an IP address, localhost or a "
                      "name that this server was started with",
                      "host_not_allowed");
  }
  if (!is_origin_allowed(view(head.method_string()), view(head[http::field::origin]), host)) {
    return http_error(403, "requests from pages of another origin are refused",
                      "origin_not_allowed");
  }
  if (!head.target().starts_with('/')) {
    return http_error(400, "the request target must begin with '/'", "malformed_request");
  }
  return std::nullopt;
}

net::awaitable<error_code> Connection::read_body(Parser& parser) {
  if (parser.is_done()) co_return error_code{};
  stream_.expires_after(shared_.options.limits.body_timeout);
  if (to_lower(view(parser.get()[http::field::expect])) == "100-continue") {
    static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    const auto text = net::buffer(kContinue);
    const auto [ec, n_bytes] = co_await net::async_write(stream_, text, kToken);
    if (ec) co_return ec;
  }
  const auto [ec, n_bytes] = co_await http::async_read(stream_, buffer_, parser, kToken);
  co_return ec;
}

std::shared_ptr<Request> Connection::make_request(Parser& parser) const {
  auto& message = parser.get();
  auto request = std::make_shared<Request>();
  request->method = view(message.method_string());
  const std::string_view target = view(message.target());
  const size_t question = std::min(target.find('?'), target.size());
  request->path = target.substr(0, question);
  request->query = target.substr(std::min(question + 1, target.size()));
  for (const auto& field : message) {
    request->headers.push_back(
        {to_lower(view(field.name_string())), std::string(view(field.value()))});
  }
  request->body = std::move(message.body());
  request->peer = peer_;
  request->id = request_id_;
  return request;
}

net::awaitable<bool> Connection::serve_one() {
  if (shared_.stopping) co_return false;
  if (!co_await wait_for_request()) co_return false;
  const ServerLimits& limits = shared_.options.limits;
  request_id_ = shared_.make_request_id();
  Parser parser;
  parser.header_limit(static_cast<uint32_t>(limits.header_bytes));
  parser.body_limit(limits.body_bytes);
  stream_.expires_after(limits.header_timeout);
  auto [ec, n_bytes] = co_await http::async_read_header(stream_, buffer_, parser, kToken);
  Framing framing;
  std::optional<Response> refusal;
  if (ec) {
    refusal = refusal_of(ec, limits);
    if (!refusal) co_return false;
  } else {
    framing.version = parser.get().version() == 10 ? 10 : 11;
    framing.is_head_request = parser.get().method() == http::verb::head;
    refusal = check_head(parser);
  }
  if (!refusal) {
    ec = co_await read_body(parser);
    if (ec) {
      refusal = refusal_of(ec, limits);
      if (!refusal) co_return false;
    }
  }
  if (refusal) {
    co_await refuse(*std::move(refusal), framing);
    co_return false;
  }
  framing.keep_alive = parser.get().keep_alive();
  exchange_ = std::make_shared<Exchange>(
      limits.stream_queue_bytes, [weak = weak_from_this(), executor = stream_.get_executor()] {
        net::post(executor, [weak] {
          const auto self = weak.lock();
          if (!self) return;
          if (self->exchange_ && self->exchange_->overflowed()) {
            self->abort(AbortReason::kTooSlow);
            self->close();
          }
          self->wake();
        });
      });
  dispatch(make_request(parser));
  const bool is_open = co_await answer(framing);
  exchange_->abort(AbortReason::kPeerGone);
  exchange_->detach();
  exchange_.reset();
  co_return is_open;
}

// Finds the route and runs its handler, here or on a worker. Whatever happens, the exchange gets
// an answer: a writer that is dropped answers 500.
void Connection::dispatch(std::shared_ptr<Request> request) {
  auto writer = Exchange::make_writer(exchange_);
  Router::Match match = shared_.router.find(request->method, request->path);
  if (match.route == nullptr) {
    if (match.allowed.empty()) {
      return writer->send(http_error(404, "no such path: " + request->path, "not_found"));
    }
    Response response = http_error(405, request->path + " answers " + match.allowed + " only",
                                   "method_not_allowed");
    response.headers.push_back({"Allow", match.allowed});
    return writer->send(std::move(response));
  }
  request->capture = std::move(match.capture);
  const auto run = [route = match.route, request, writer] {
    try {
      route->handler(request, writer);
    } catch (const std::exception& error) {
      // Only libraries throw (bad_alloc among them): contained to this request.
      log_error("{} {} {}: {}", request->id, request->method, request->path, error.what());
    }
  };
  if (match.route->run_on == RunOn::kIoThread) return run();
  if (shared_.n_handlers_waiting.fetch_add(1) >= shared_.options.limits.handlers_waiting) {
    shared_.n_handlers_waiting.fetch_sub(1);
    return writer->send(error_response(Error::exhausted("too many requests are waiting")));
  }
  net::post(shared_.workers, [run, &shared = shared_] {
    shared.n_handlers_waiting.fetch_sub(1);
    run();
  });
}

// Keeps one read armed while an answer is made: its end tells that the peer is gone. What arrives
// is the next request, kept up to a limit.
void Connection::watch() {
  if (is_watching_ || buffer_.size() >= kReadAheadBytesMax) return;
  is_watching_ = true;
  const auto space = buffer_.prepare(4096);
  stream_.socket().async_read_some(space,
                                   [self = shared_from_this()](error_code ec, size_t n_bytes) {
                                     self->is_watching_ = false;
                                     if (!ec) {
                                       self->buffer_.commit(n_bytes);
                                       self->watch();
                                     } else if (ec != net::error::operation_aborted) {
                                       self->abort(AbortReason::kPeerGone);
                                       self->close();
                                     }
                                     self->wake();
                                   });
}

net::awaitable<void> Connection::stop_watching() {
  while (is_watching_) {
    error_code ec;
    stream_.socket().cancel(ec);
    co_await wake_.async_wait(kToken);
  }
}

net::awaitable<bool> Connection::answer(Framing framing) {
  watch();
  bool is_good = true;
  bool finished = false;
  while (is_good && !finished) {
    Exchange::Output output = exchange_->take();
    if (!stream_.socket().is_open()) {
      is_good = false;
    } else if (output.empty()) {
      co_await wake_.async_wait(kToken);
    } else {
      finished = output.finished;
      const bool is_cut = output.cut;  // what there is goes out, but no proper end
      is_good = co_await send_output(std::move(output), framing) && !is_cut;
      exchange_->sent();
    }
  }
  if (!is_good) close();
  co_await stop_watching();
  if (!is_good || !framing.keep_alive) co_return false;
  co_return stream_.socket().is_open();
}

std::string Connection::head_text(const Response& response, bool is_stream,
                                  Framing& framing) const {
  // Chunks came with HTTP/1.1; before it the end of the connection is the end of the body.
  framing.is_chunked = is_stream && framing.version == 11 && !framing.is_head_request;
  if ((is_stream && !framing.is_chunked) || shared_.stopping) framing.keep_alive = false;
  std::string text = fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\nx-request-id: {}\r\n",
                                 response.status, status_text(response.status),
                                 http_date(shared_.options.clock->unix_seconds()), request_id_);
  text += kSecurityHeaders;
  if (!response.content_type.empty()) text += "Content-Type: " + response.content_type + "\r\n";
  for (const Header& header : response.headers) text += header.name + ": " + header.value + "\r\n";
  if (framing.is_chunked) {
    text += "Transfer-Encoding: chunked\r\n";
  } else if (!is_stream && response.status != 304) {
    const size_t n_bytes =
        response.static_body.empty() ? response.body.size() : response.static_body.size();
    text += fmt::format("Content-Length: {}\r\n", n_bytes);
  }
  text += framing.keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  return text;
}

net::awaitable<bool> Connection::send_output(Exchange::Output output, Framing& framing) {
  std::string text;
  std::string_view static_body;
  if (output.head) {
    text = head_text(*output.head, output.is_stream, framing);
    if (!output.is_stream && !framing.is_head_request) {
      text += output.head->body;
      static_body = output.head->static_body;
    }
  }
  if (output.is_stream && !framing.is_head_request) {
    if (framing.is_chunked && !output.bytes.empty()) {
      text += fmt::format("{:x}\r\n", output.bytes.size());
      text += output.bytes;
      text += "\r\n";
    } else {
      text += output.bytes;
    }
    if (framing.is_chunked && output.finished) text += "0\r\n\r\n";
  }
  const std::array<net::const_buffer, 2> pieces{net::buffer(text), net::buffer(static_body)};
  stream_.expires_after(shared_.options.limits.write_timeout);
  const auto [ec, n_bytes] = co_await net::async_write(stream_, pieces, kToken);
  if (ec) exchange_->abort(AbortReason::kPeerGone);
  co_return !ec;
}

// Answers a request that was not read to its end, then reads and drops what still comes for a
// while: closing with unread bytes would reset the connection, and the client would lose the
// answer.
net::awaitable<void> Connection::refuse(Response response, Framing framing) {
  std::string text = head_text(response, false, framing);
  if (!framing.is_head_request) text += response.body;
  stream_.expires_after(kLingerTimeout);
  const auto answer_bytes = net::buffer(text);
  const auto [write_ec, n_written] = co_await net::async_write(stream_, answer_bytes, kToken);
  if (write_ec) co_return;
  error_code ec;
  stream_.socket().shutdown(tcp::socket::shutdown_send, ec);
  std::array<char, 4096> dropped;
  const auto space = net::buffer(dropped);
  for (size_t n_total = 0; n_total < kLingerBytesMax;) {
    const auto [read_ec, n_read] = co_await stream_.async_read_some(space, kToken);
    if (read_ec) co_return;
    n_total += n_read;
  }
}

// A connection above the limit is told so and closed.
net::awaitable<void> turn_away(tcp::socket socket) {
  static const std::string kText = [] {
    const Response response = http_error(503, "too many connections", "too_many_connections");
    return fmt::format(
        "HTTP/1.1 503 {}\r\nContent-Type: application/json\r\nRetry-After: 2\r\n"
        "Content-Length: {}\r\nConnection: close\r\n\r\n{}",
        status_text(503), response.body.size(), response.body);
  }();
  const auto bytes = net::buffer(kText);
  co_await net::async_write(socket, bytes, kToken);
}

void log_escaped(std::exception_ptr escaped) {
  if (!escaped) return;
  try {
    std::rethrow_exception(escaped);
  } catch (const std::exception& error) {
    log_error("a connection ended by an exception: {}", error.what());
  }
}

net::awaitable<void> accept_all(Shared& shared, tcp::acceptor& acceptor, net::io_context& io) {
  for (;;) {
    const net::strand<net::io_context::executor_type> strand = net::make_strand(io);
    auto [ec, socket] = co_await acceptor.async_accept(strand, kToken);
    if (shared.stopping || ec == net::error::operation_aborted) co_return;
    if (ec) {
      log_warning("accept: {}", ec.message());
      net::steady_timer retry(io, kAcceptRetry);
      co_await retry.async_wait(kToken);
      continue;
    }
    size_t n_open = 0;
    {
      const std::lock_guard lock(shared.mutex);
      n_open = shared.connections.size();
    }
    if (n_open >= shared.options.limits.connections) {
      net::co_spawn(strand, turn_away(std::move(socket)), log_escaped);
    } else {
      auto connection = std::make_shared<Connection>(shared, std::move(socket));
      net::co_spawn(strand, Connection::run(std::move(connection)), log_escaped);
    }
  }
}

}  // namespace

struct Server::Impl {
  net::io_context io;
  Shared shared;
  tcp::acceptor acceptor{io};
  std::vector<std::thread> threads;

  Impl(ServerOptions options, Router router) : shared(std::move(options), std::move(router)) {}

  Result<void> listen();
  void for_each_connection(bool with_answers, bool at_once);
  bool wait_until_closed(std::chrono::milliseconds at_most);
};

Result<void> Server::Impl::listen() {
  const ServerOptions& options = shared.options;
  error_code ec;
  const auto address = net::ip::make_address(options.address, ec);
  if (ec) {
    return Error::invalid("not an IP address to listen on: " + options.address, "address");
  }
  const tcp::endpoint endpoint(address, options.port);
  acceptor.open(endpoint.protocol(), ec);
  if (!ec) acceptor.set_option(net::socket_base::reuse_address(true), ec);
  if (!ec) acceptor.bind(endpoint, ec);
  if (!ec) acceptor.listen(net::socket_base::max_listen_connections, ec);
  if (!ec) return {};
  const auto where = fmt::format("{} port {}", options.address, options.port);
  if (ec == net::error::address_in_use) return Error::unavailable(where + " is already in use");
  return Error::io("cannot listen on " + where + ": " + ec.message());
}

void Server::Impl::for_each_connection(bool with_answers, bool at_once) {
  const std::lock_guard lock(shared.mutex);
  for (Connection* connection : shared.connections) {
    connection->post_stop(with_answers, at_once);
  }
}

bool Server::Impl::wait_until_closed(std::chrono::milliseconds at_most) {
  std::unique_lock lock(shared.mutex);
  return shared.changed.wait_for(lock, at_most, [this] { return shared.connections.empty(); });
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() { stop(); }

Result<std::unique_ptr<Server>> Server::start(ServerOptions options, Router router) {
  CHECK(options.clock != nullptr && options.random && options.n_io_threads > 0);
  auto impl = std::make_unique<Impl>(std::move(options), std::move(router));
  MARU_TRY_VOID(impl->listen());
  net::co_spawn(impl->io, accept_all(impl->shared, impl->acceptor, impl->io), log_escaped);
  for (size_t i = 0; i < impl->shared.options.n_io_threads; ++i) {
    impl->threads.emplace_back([&io = impl->io] { io.run(); });
  }
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

uint16_t Server::port() const {
  error_code ec;
  return impl_->acceptor.local_endpoint(ec).port();
}

size_t Server::n_connections() const {
  const std::lock_guard lock(impl_->shared.mutex);
  return impl_->shared.connections.size();
}

void Server::stop() {
  if (impl_->shared.stopping.exchange(true)) return;
  const ServerLimits& limits = impl_->shared.options.limits;
  net::post(impl_->io, [impl = impl_.get()] {
    error_code ec;
    impl->acceptor.close(ec);
  });
  impl_->for_each_connection(false, false);
  if (!impl_->wait_until_closed(limits.stop_grace)) {
    impl_->for_each_connection(true, false);
    if (!impl_->wait_until_closed(limits.stop_last)) {
      impl_->for_each_connection(true, true);
    }
  }
  impl_->shared.workers.join();
  // No handler is left, the sockets are closed, and no answer comes from engines: run() ends when
  // the last coroutine has seen that.
  for (std::thread& thread : impl_->threads) thread.join();
}

}  // namespace maru::serve
