// base/json.h - the one way to read JSON from outside: depth and size are bounded before a tree is
// built.
//
// Source of the limits: nlohmann-json recurses when it copies or destroys a value (its issue 5387),
// so depth is capped while parsing.
// Threads: free functions without state.
#pragma once
#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace maru {

// Keeps the order of keys: schemas and tool arguments are shown to models and people as written.
using Json = nlohmann::ordered_json;

inline constexpr size_t kJsonDepthMax = 64;

// Parses one JSON text (RFC 8259), in n log n of its size whatever its shape.
// Errors: kInvalidArgument for bad syntax (with the byte offset), invalid UTF-8, or depth above
// depth_max. Duplicate keys: the last one wins.
Result<Json> parse_json(std::string_view text, size_t depth_max = kJsonDepthMax);

// Compact text; bytes that are not UTF-8 become U+FFFD, so that it never throws.
std::string dump_json(const Json& value);

}  // namespace maru
