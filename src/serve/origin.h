// serve/origin.h - which Host and Origin headers are accepted: what keeps a web page elsewhere from
// using a server on this machine (DNS rebinding, drive-by requests).
//
// Source: docs/threats row 15; RFC 9110 section 7.2 (Host), RFC 6454 (Origin).
// Threads: free functions without state.
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace maru::serve {

// True where Host (with or without a port) is an IP literal, localhost, or one of the names.
// Empty is refused.
bool is_host_allowed(std::string_view host, std::span<const std::string> names);

// True where the method changes nothing, where there is no Origin (not a browser's cross-site
// request), or where Origin names the same host and port as Host.
bool is_origin_allowed(std::string_view method, std::string_view origin, std::string_view host);

}  // namespace maru::serve
