// base/base64.h - bytes as text, for JSON fields that carry anything but UTF-8.
//
// Source: RFC 4648, section 4 (standard alphabet, with padding). Threads: free functions.
#pragma once
#include <string>
#include <string_view>

#include "base/result.h"

namespace maru {

std::string encode_base64(std::string_view bytes);

// Errors: kInvalidArgument for a foreign character, wrong padding, or unused bits that are not 0.
Result<std::string> decode_base64(std::string_view text);

}  // namespace maru
