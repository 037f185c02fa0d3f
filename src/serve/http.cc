// serve/http.cc - see http.h.
#include "serve/http.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "base/hex.h"
#include "base/utf8.h"

namespace maru::serve {
namespace {

// What the pattern's "{name}" matches of the path (may be empty for an exact match), or nothing.
std::optional<std::string_view> match_path(std::string_view pattern, std::string_view path) {
  const size_t brace = pattern.find('{');
  if (brace == std::string_view::npos) {
    if (pattern != path) return std::nullopt;
    return std::string_view{};
  }
  const std::string_view prefix = pattern.substr(0, brace);
  if (!path.starts_with(prefix) || path.size() == prefix.size()) return std::nullopt;
  return path.substr(prefix.size());
}

}  // namespace

std::string_view Request::header(std::string_view name) const {
  for (const Header& header : headers) {
    if (header.name == name) return header.value;
  }
  return {};
}

void Router::add(std::string method, std::string path, RunOn run_on, Handler handler) {
  routes_.push_back({std::move(method), std::move(path), run_on, std::move(handler)});
}

Router::Match Router::find(std::string_view method, std::string_view path) const {
  Match match;
  const std::string_view wanted = method == "HEAD" ? "GET" : method;
  bool exact = false;
  for (const Route& route : routes_) {
    const auto capture = match_path(route.path, path);
    if (!capture || exact) continue;
    const auto decoded = percent_decode(*capture);
    if (!decoded) continue;  // no such path, whatever the method
    if (!match.allowed.empty()) match.allowed += ", ";
    match.allowed += route.method;
    if (route.method != wanted) continue;
    match.route = &route;
    match.capture = *decoded;
    exact = capture->empty();
  }
  return match;
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (text.size() - i < 3) return std::nullopt;
      const int high = hex_digit(text[i + 1]);
      const int low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return std::nullopt;
    out.push_back(c);
  }
  if (!is_valid_utf8(out)) return std::nullopt;
  return out;
}

std::string_view status_text(int status) {
  static constexpr std::array<std::pair<int, std::string_view>, 18> kTexts{{
      {100, "Continue"},
      {200, "OK"},
      {304, "Not Modified"},
      {400, "Bad Request"},
      {401, "Unauthorized"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {409, "Conflict"},
      {413, "Content Too Large"},
      {414, "URI Too Long"},
      {429, "Too Many Requests"},
      {431, "Request Header Fields Too Large"},
      {499, "Client Closed Request"},
      {500, "Internal Server Error"},
      {501, "Not Implemented"},
      {503, "Service Unavailable"},
      {505, "HTTP Version Not Supported"},
  }};
  const auto found = std::ranges::find(kTexts, status, &std::pair<int, std::string_view>::first);
  return found == kTexts.end() ? std::string_view("Status") : found->second;
}

std::string http_date(int64_t unix_seconds) {
  using namespace std::chrono;
  static constexpr std::array<std::string_view, 7> kDays{"Sun", "Mon", "Tue", "Wed",
                                                         "Thu", "Fri", "Sat"};
  static constexpr std::array<std::string_view, 12> kMonths{
      "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const sys_seconds now{seconds(unix_seconds)};
  const sys_days day = floor<days>(now);
  const year_month_day date(day);
  const hh_mm_ss time(now - day);
  return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT", kDays[weekday(day).c_encoding()],
                     static_cast<unsigned>(date.day()),
                     kMonths[static_cast<unsigned>(date.month()) - 1],
                     static_cast<int>(date.year()), time.hours().count(), time.minutes().count(),
                     time.seconds().count());
}

}  // namespace maru::serve
