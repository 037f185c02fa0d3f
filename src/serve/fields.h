// serve/fields.h - the one table of request fields: type, range, default, and what becomes of each.
//
// Validation, the list of ignored parameters and docs/api-fields.md come from it, so that nothing
// is dropped silently: a field is honoured, refused where ignoring it would change what the caller
// gets, or named in the response's `ignored_params`.
// Threads: the table is constant; a Fields belongs to one request.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace maru::serve {

// Bits, so that a row can hold for several.
enum Endpoint : unsigned {
  kChatEndpoint = 1,
  kCompletionEndpoint = 2,
  kEmbeddingsEndpoint = 4,
  kRerankEndpoint = 8,
};
inline constexpr unsigned kTextEndpoints = kChatEndpoint | kCompletionEndpoint;
inline constexpr unsigned kVectorEndpoints = kEmbeddingsEndpoint | kRerankEndpoint;

inline constexpr size_t kEmbedInputsMax = 2048;
inline constexpr size_t kRerankDocumentsMax = 2048;

enum class FieldType {
  kBool,
  kInteger,
  kNumber,
  kString,
  kArray,
  kObject,
  kStringOrArray,
  kStringOrObject,
  kAny
};

enum class FieldUse {
  kHonoured,
  kIgnored,  // changes nothing of what the caller gets: named in ignored_params
  kRefused,  // a 400, but for the values that ask for nothing
};

struct FieldRow {
  std::string_view name;
  unsigned endpoints = kTextEndpoints;
  FieldType type = FieldType::kAny;
  FieldUse use = FieldUse::kHonoured;
  double min = 0;                 // of numbers
  double max = 0;                 // of numbers; min == max: any
  bool above_min = false;         // min itself is refused
  std::string_view initial = {};  // JSON; the value where the field is absent; empty: none
  std::string_view neutral = {};  // JSON array: values of a refused field that ask for nothing
  std::string_view note = {};
};

std::span<const FieldRow> field_table();

// The body of one request after the table was applied to it.
class Fields {
 public:
  // Errors: kInvalidArgument for a wrong type or range, kUnsupported for a refused field; both name
  // the field and what is accepted. null counts as absent.
  static Result<Fields> check(Endpoint endpoint, Json body);

  // Requires: the table has the field for this endpoint, honoured, with that type and a default.
  bool flag(std::string_view name) const;
  double number(std::string_view name) const;
  int64_t integer(std::string_view name) const;

  // What is honoured, with the defaults of absent fields written out, in the order of the table.
  Json resolved() const;

  // Null where the field is absent.
  const Json* find(std::string_view name) const;
  const std::vector<std::string>& ignored() const { return ignored_; }
  void ignore(std::string name);  // once each

 private:
  Fields(Endpoint endpoint, Json body) : endpoint_(endpoint), body_(std::move(body)) {}
  Json value_or_initial(std::string_view name) const;

  Endpoint endpoint_;
  Json body_;
  std::vector<std::string> ignored_;
};

// docs/api-fields.md, whole.
std::string field_table_markdown();

}  // namespace maru::serve
