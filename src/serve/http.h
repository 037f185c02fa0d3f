// serve/http.h - requests, responses and routes as plain values: all that handlers know of HTTP.
//
// The sockets are in http_server.cc, the only file that includes Beast; a handler is tested with a
// ResponseWriter that records. Threads: stated at each class.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace maru::serve {

struct Header {
  std::string name;
  std::string value;
};

struct Request {
  std::string method;           // "GET"
  std::string path;             // up to '?', as sent
  std::string query;            // after '?', as sent
  std::string capture;          // what the {name} at the end of the route matched, decoded
  std::vector<Header> headers;  // names in lower case
  std::string body;
  std::string peer;  // address of the client
  std::string id;    // made by the server, unique; also sent back as x-request-id

  // The value of the first header of that name, or empty. Requires: name in lower case.
  std::string_view header(std::string_view name) const;
};

struct Response {
  int status = 200;
  std::string content_type;
  std::vector<Header> headers;
  std::string body;
  std::string_view static_body;  // instead of body, where the bytes live as long as the program
};

enum class AbortReason {
  kPeerGone,  // nobody reads any more: whatever is written is dropped
  kTooSlow,   // the send queue is full: the connection is being closed
  kStopping,  // the server stops: say so to the client and finish
};

// The answer to one request. Exactly one of send() and start_stream() is called, once; a stream
// ends with finish(). A writer that is destroyed before that answers 500, or cuts the stream.
// Threads: any; never blocks. Callbacks run on a server thread and must not block.
class ResponseWriter {
 public:
  virtual ~ResponseWriter() = default;
  virtual void send(Response response) = 0;
  // Sends status and headers; the body follows by write().
  virtual void start_stream(Response head) = 0;
  // Queues bytes. False where they can no longer arrive (gone, too slow, finished).
  virtual bool write(std::string_view bytes) = 0;
  virtual void finish() = 0;
  // Calls back at most once, if the answer is cut off before it is complete; at once, on this
  // thread, if that has happened already. Register without holding locks that the callback takes.
  virtual void on_abort(std::function<void(AbortReason)> callback) = 0;
};

using Handler =
    std::function<void(std::shared_ptr<const Request>, std::shared_ptr<ResponseWriter>)>;

enum class RunOn {
  kIoThread,  // the handler is short and never waits
  kWorker,    // the handler parses large bodies or waits for an engine
};

struct Route {
  std::string method;
  std::string path;  // exact, or ending in "/{name}", which matches the rest of the path
  RunOn run_on;
  Handler handler;
};

// Which handler answers which path. Threads: filled by one, then read by any.
class Router {
 public:
  struct Match {
    const Route* route = nullptr;  // null: no such path, or not by that method
    std::string capture;           // decoded
    std::string allowed;           // methods of that path, for 405; empty: no such path
  };

  void add(std::string method, std::string path, RunOn run_on, Handler handler);
  // HEAD finds the GET route. An exact path wins over a captured one.
  Match find(std::string_view method, std::string_view path) const;
  const std::vector<Route>& routes() const { return routes_; }

 private:
  std::vector<Route> routes_;
};

// %XX decoded; nothing where an escape is broken, the text is not UTF-8 or holds a control byte.
std::optional<std::string> percent_decode(std::string_view text);

// "OK", "Not Found"; "Status" where the number is not one that Maru uses.
std::string_view status_text(int status);

// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, section 5.6.7).
std::string http_date(int64_t unix_seconds);

}  // namespace maru::serve
