// serve/origin.cc - see origin.h.
#include "serve/origin.h"

#include <arpa/inet.h>

#include <algorithm>

namespace maru::serve {
namespace {

constexpr size_t kHostBytesMax = 255;

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) {
    const auto lower = [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    };
    return lower(x) == lower(y);
  });
}

bool is_port(std::string_view text) {
  return text.size() <= 5 && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

bool is_ip_literal(int family, std::string_view text) {
  unsigned char address[16];
  return inet_pton(family, std::string(text).c_str(), address) == 1;
}

}  // namespace

bool is_host_allowed(std::string_view host, std::span<const std::string> names) {
  if (host.empty() || host.size() > kHostBytesMax) return false;
  if (host.find('\0') != std::string_view::npos) return false;
  if (host.front() == '[') {
    const size_t close = host.find(']');
    if (close == std::string_view::npos) return false;
    const std::string_view rest = host.substr(close + 1);
    if (!rest.empty() && (rest.front() != ':' || !is_port(rest.substr(1)))) return false;
    return is_ip_literal(AF_INET6, host.substr(1, close - 1));
  }
  const size_t colon = host.find(':');
  if (colon != std::string_view::npos) {
    if (!is_port(host.substr(colon + 1))) return false;
    host = host.substr(0, colon);
  }
  if (is_ip_literal(AF_INET, host) || equal_ignoring_case(host, "localhost")) return true;
  return std::ranges::any_of(
      names, [&](const std::string& name) { return equal_ignoring_case(host, name); });
}

bool is_origin_allowed(std::string_view method, std::string_view origin, std::string_view host) {
  if (method == "GET" || method == "HEAD" || origin.empty()) return true;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (origin.starts_with(scheme)) return equal_ignoring_case(origin.substr(scheme.size()), host);
  }
  return false;
}

}  // namespace maru::serve
