// link/fields.h - reads a JSON object whose fields are all known and all required.
//
// link/wire.cc decodes frames with it, and the scripted engine its script. The first error stays;
// getters after it return empty values, so a decoder is a plain list of fields and one finish().
// Threads: one owner.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace maru::link {

class Fields {
 public:
  // `where` is the path of the object for error messages, empty for the frame itself.
  // Requires: `object` outlives this.
  Fields(const Json& object, std::string where);

  bool boolean(std::string_view name);
  double number(std::string_view name);  // finite
  uint64_t u64(std::string_view name);
  size_t count(std::string_view name, size_t max = size_t{1} << 53);
  std::optional<size_t> optional_count(std::string_view name);
  std::optional<int64_t> optional_integer(std::string_view name);
  std::string text(std::string_view name);
  std::string bytes(std::string_view name);  // base64
  std::optional<std::string> optional_bytes(std::string_view name);
  std::vector<int32_t> ids(std::string_view name, size_t n_max);
  const Json& any(std::string_view name);
  const Json& array(std::string_view name, size_t n_max);
  const Json& object(std::string_view name);

  // The path of a field: "prompt.messages".
  std::string path(std::string_view name) const;
  // Keeps the first error of all.
  void fail(std::string_view name, std::string_view expected);
  void fail(Error error);
  bool failed() const { return error_.has_value(); }

  // Errors: the first of the above, or a field that nobody asked for.
  Result<void> finish() const;

 private:
  const Json& take(std::string_view name);

  const Json& object_;
  std::string where_;
  std::vector<std::string_view> taken_;
  std::optional<Error> error_;
};

// Whether this is an integer that an int32 holds, as every token id must be.
bool is_int32(const Json& value);

}  // namespace maru::link
