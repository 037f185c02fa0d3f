// app/build.h - which build of Maru this is. kCommit is in a source that tools/write_commit.py
// writes at each build. Threads: constants.
#pragma once
#include <string_view>

namespace maru::app {

inline constexpr std::string_view kVersion = MARU_VERSION;
extern const std::string_view kCommit;  // "1a2b3c4d5e6f", "...-dirty" or "unknown"

}  // namespace maru::app
