#include "base/json.h"

#include <fmt/format.h>

namespace maru {
namespace {

// Depth of the deepest bracket outside of strings. Syntax is judged later by the parser; this only
// needs to be an upper bound that cannot itself recurse.
size_t bracket_depth_max(std::string_view text) {
  size_t depth = 0;
  size_t deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
      continue;
    }
    if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if ((c == '}' || c == ']') && depth > 0) {
      --depth;
    }
  }
  return deepest;
}

}  // namespace

Result<Json> parse_json(std::string_view text, size_t depth_max) {
  if (bracket_depth_max(text) > depth_max) {
    return Error::invalid(fmt::format("JSON is nested deeper than {} levels", depth_max));
  }
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& e) {
    return Error::invalid(fmt::format("invalid JSON at byte {}: {}", e.byte, e.what()));
  } catch (const Json::exception& e) {
    return Error::invalid(fmt::format("invalid JSON: {}", e.what()));
  }
}

std::string dump_json(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace maru
