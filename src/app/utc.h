// app/utc.h - "YYYY-MM-DD HH:MM:SS" to seconds since 1970, in UTC. Threads: any.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace maru::app {

// nullopt where the text is not exactly such a time of the years 1970 to 9999.
std::optional<int64_t> parse_utc(std::string_view text);

}  // namespace maru::app
