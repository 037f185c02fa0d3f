#include "gguf/metadata.h"

#include <fmt/format.h>

#include <algorithm>
#include <concepts>
#include <limits>
#include <utility>

#include "gguf/cursor.h"

namespace maru::gguf {
namespace {

struct TypeInfo {
  std::string_view name;
  size_t n_bytes;  // 0 where the size varies
};

// By number of ValueType.
constexpr TypeInfo kTypes[] = {{"u8", 1},  {"i8", 1},  {"u16", 2},  {"i16", 2},    {"u32", 4},
                               {"i32", 4}, {"f32", 4}, {"bool", 1}, {"string", 0}, {"array", 0},
                               {"u64", 8}, {"i64", 8}, {"f64", 8}};

bool is_integer(ValueType type) {
  return type != ValueType::kF32 && type != ValueType::kF64 && type != ValueType::kBool &&
         type != ValueType::kString && type != ValueType::kArray;
}

bool is_float(ValueType type) { return type == ValueType::kF32 || type == ValueType::kF64; }

template <class To, class From>
std::optional<To> convert(From stored) {
  if constexpr (std::same_as<To, bool>) {
    if constexpr (std::same_as<From, bool>) return stored;
    return std::nullopt;
  } else if constexpr (std::floating_point<To>) {
    if constexpr (std::same_as<From, bool>) return std::nullopt;
    return static_cast<To>(stored);
  } else {
    if constexpr (std::integral<From> && !std::same_as<From, bool>) {
      if (std::in_range<To>(stored)) return static_cast<To>(stored);
    }
    return std::nullopt;
  }
}

// The element as a To, or nullopt where its type or its value does not fit.
// Requires: bytes holds one element of `type`.
template <class To>
std::optional<To> load_as(ValueType type, std::span<const std::byte> bytes) {
  switch (type) {
    case ValueType::kU8:
      return convert<To>(load_number<uint8_t>(bytes));
    case ValueType::kI8:
      // Bytes are stored as i8 by some writers: as uint8_t they are the same bytes.
      if constexpr (std::same_as<To, uint8_t>) return load_number<uint8_t>(bytes);
      return convert<To>(load_number<int8_t>(bytes));
    case ValueType::kU16:
      return convert<To>(load_number<uint16_t>(bytes));
    case ValueType::kI16:
      return convert<To>(load_number<int16_t>(bytes));
    case ValueType::kU32:
      return convert<To>(load_number<uint32_t>(bytes));
    case ValueType::kI32:
      return convert<To>(load_number<int32_t>(bytes));
    case ValueType::kU64:
      return convert<To>(load_number<uint64_t>(bytes));
    case ValueType::kI64:
      return convert<To>(load_number<int64_t>(bytes));
    case ValueType::kF32:
      return convert<To>(load_number<float>(bytes));
    case ValueType::kF64:
      return convert<To>(load_number<double>(bytes));
    case ValueType::kBool:
      return convert<To>(load_number<uint8_t>(bytes) != 0);
    case ValueType::kString:
    case ValueType::kArray:
      return std::nullopt;
  }
  return std::nullopt;
}

// True where every value of the type fits T, so that elements need no look.
template <class T>
bool always_fits(ValueType type) {
  if constexpr (std::same_as<T, float>) return is_integer(type) || is_float(type);
  if constexpr (std::same_as<T, bool>) return type == ValueType::kBool;
  if constexpr (std::same_as<T, uint8_t>) return type == ValueType::kU8 || type == ValueType::kI8;
  if constexpr (std::same_as<T, int32_t>) return type == ValueType::kI32;
  if constexpr (std::same_as<T, uint32_t>) return type == ValueType::kU32;
  return false;
}

template <class T>
std::string_view kind_name() {
  if constexpr (std::same_as<T, bool>) return "bool";
  if constexpr (std::same_as<T, float>) return "number";
  if constexpr (std::same_as<T, uint32_t>) return "integer from 0 to 4294967295";
  if constexpr (std::same_as<T, uint64_t>) return "integer from 0 on";
  if constexpr (std::same_as<T, uint8_t>) return "integer from 0 to 255";
  if constexpr (std::same_as<T, int32_t>) return "integer of 32 bits";
  return "value";
}

std::string describe(const Value& value) {
  const auto name = value_type_name(value.type);
  return value.is_array ? fmt::format("an array of {} {} values", value.count, name)
                        : fmt::format("a {}", name);
}

Result<ValueType> read_type(Cursor& cursor, std::string_view key) {
  MARU_TRY(number, cursor.number<uint32_t>("the type of a metadata value"));
  if (number >= std::size(kTypes)) {
    return Error::corrupt(fmt::format(
        "metadata key '{}' has value type {}, which GGUF does not define", shown(key), number));
  }
  return static_cast<ValueType>(number);
}

// Reads `count` elements of a type that is not kArray.
Result<Value> read_elements(Cursor& cursor, ValueType type, uint64_t count, std::string_view key) {
  const std::string what = fmt::format("metadata value '{}'", shown(key));
  const size_t n_bytes = kTypes[static_cast<size_t>(type)].n_bytes;
  // The smallest element, a string, takes the 8 bytes of its length: so `count` is bounded by the
  // bytes left before anything is multiplied or walked.
  if (count > cursor.n_left() / std::max<size_t>(n_bytes, n_bytes == 0 ? sizeof(uint64_t) : 1)) {
    return Error::corrupt(
        fmt::format("the GGUF file is truncated: {} has {} {} elements at offset {}, {} bytes are "
                    "left",
                    what, count, value_type_name(type), cursor.offset(), cursor.n_left()));
  }
  if (type != ValueType::kString) {
    MARU_TRY(bytes, cursor.take(count * n_bytes, what));
    return Value{type, false, count, bytes};
  }
  Cursor all = cursor;
  for (uint64_t i = 0; i < count; ++i) MARU_TRY_VOID(cursor.string(kStringBytesMax, what));
  MARU_TRY(bytes, all.take(cursor.offset() - all.offset(), what));
  return Value{type, false, count, bytes};
}

Result<Entry> read_entry(Cursor& cursor) {
  MARU_TRY(key, cursor.string(kKeyBytesMax, "a metadata key"));
  MARU_TRY(type, read_type(cursor, key));
  if (type != ValueType::kArray) {
    MARU_TRY(value, read_elements(cursor, type, 1, key));
    return Entry{key, value};
  }
  MARU_TRY(element, read_type(cursor, key));
  if (element == ValueType::kArray) {
    return Error::unsupported(
        fmt::format("metadata key '{}' holds an array of arrays, which no model uses", shown(key)));
  }
  MARU_TRY(count, cursor.number<uint64_t>("the length of a metadata array"));
  MARU_TRY(value, read_elements(cursor, element, count, key));
  value.is_array = true;
  return Entry{key, value};
}

}  // namespace

std::string_view value_type_name(ValueType type) { return kTypes[static_cast<size_t>(type)].name; }

template <class T>
T NumberArray<T>::operator[](size_t index) const {
  DCHECK(index < value_.count);
  const size_t n_bytes = kTypes[static_cast<size_t>(value_.type)].n_bytes;
  return load_as<T>(value_.type, value_.bytes.subspan(index * n_bytes, n_bytes)).value_or(T{});
}

template <class T>
std::vector<T> NumberArray<T>::to_vector() const {
  std::vector<T> all;
  all.reserve(size());
  for (size_t i = 0; i < size(); ++i) all.push_back((*this)[i]);
  return all;
}

template class NumberArray<uint8_t>;
template class NumberArray<int32_t>;
template class NumberArray<uint32_t>;
template class NumberArray<float>;
template class NumberArray<bool>;

std::string_view StringArray::Iterator::operator*() const {
  const auto n_bytes = load_number<uint64_t>({at_, sizeof(uint64_t)});
  return {reinterpret_cast<const char*>(at_ + sizeof n_bytes), n_bytes};
}

StringArray::Iterator& StringArray::Iterator::operator++() {
  at_ += sizeof(uint64_t) + (**this).size();
  --n_left_;
  return *this;
}

StringArray::Iterator StringArray::Iterator::operator++(int) {
  Iterator before = *this;
  ++*this;
  return before;
}

Result<Metadata> Metadata::read(Cursor& cursor, uint64_t n_entries) {
  if (n_entries > kMetadataEntriesMax) {
    return Error::corrupt(
        fmt::format("the GGUF file declares {} metadata entries, more than the limit of {}",
                    n_entries, kMetadataEntriesMax));
  }
  Metadata metadata;
  for (uint64_t i = 0; i < n_entries; ++i) {
    MARU_TRY(entry, read_entry(cursor));
    metadata.entries_.push_back(entry);
    metadata.by_key_.push_back(static_cast<uint32_t>(i));
  }
  // A sorted index and no hash table: a stranger's keys cannot make it slow.
  const auto key_of = [&](uint32_t i) { return metadata.entries_[i].key; };
  std::ranges::sort(metadata.by_key_, {}, key_of);
  const auto twice = std::ranges::adjacent_find(metadata.by_key_, {}, key_of);
  if (twice != metadata.by_key_.end()) {
    return Error::corrupt(fmt::format("metadata key '{}' occurs twice", shown(key_of(*twice))));
  }
  return metadata;
}

const Value* Metadata::find(std::string_view key) const {
  const auto key_of = [&](uint32_t i) { return entries_[i].key; };
  const auto at = std::ranges::lower_bound(by_key_, key, {}, key_of);
  return at != by_key_.end() && key_of(*at) == key ? &entries_[*at].value : nullptr;
}

Result<const Value*> Metadata::find_checked(std::string_view key, bool want_array) const {
  const Value* value = find(key);
  if (value == nullptr) {
    return Error::corrupt(fmt::format("the GGUF file has no metadata key '{}'", key));
  }
  if (value->is_array != want_array) {
    return Error::corrupt(fmt::format("metadata key '{}' holds {}, expected {}", key,
                                      describe(*value), want_array ? "an array" : "one value"));
  }
  return value;
}

template <class T>
Result<T> Metadata::get_number(std::string_view key) const {
  MARU_TRY(value, find_checked(key, false));
  if (const auto number = load_as<T>(value->type, value->bytes)) return *number;
  if (is_integer(value->type)) {
    return Error::corrupt(
        fmt::format("metadata key '{}' is {}, expected {}", key,
                    value->type == ValueType::kU64
                        ? std::to_string(load_number<uint64_t>(value->bytes))
                        : std::to_string(*load_as<int64_t>(value->type, value->bytes)),
                    kind_name<T>()));
  }
  return Error::corrupt(fmt::format("metadata key '{}' holds {}, expected {}", key,
                                    describe(*value), kind_name<T>()));
}

template <class T>
Result<NumberArray<T>> Metadata::get_numbers(std::string_view key) const {
  MARU_TRY(value, find_checked(key, true));
  const size_t n_bytes = kTypes[static_cast<size_t>(value->type)].n_bytes;
  // A string element (n_bytes 0) fails at the first one: load_as gives nullopt without reading.
  for (size_t i = 0; i < value->count && !always_fits<T>(value->type); ++i) {
    if (!load_as<T>(value->type, value->bytes.subspan(i * n_bytes, n_bytes))) {
      return Error::corrupt(fmt::format("metadata key '{}' holds {}, element {} is no {}", key,
                                        describe(*value), i, kind_name<T>()));
    }
  }
  return NumberArray<T>(*value);
}

Result<uint32_t> Metadata::get_u32(std::string_view key) const { return get_number<uint32_t>(key); }
Result<uint64_t> Metadata::get_u64(std::string_view key) const { return get_number<uint64_t>(key); }
Result<int32_t> Metadata::get_i32(std::string_view key) const { return get_number<int32_t>(key); }
Result<float> Metadata::get_f32(std::string_view key) const { return get_number<float>(key); }
Result<bool> Metadata::get_bool(std::string_view key) const { return get_number<bool>(key); }

Result<std::string_view> Metadata::get_string(std::string_view key) const {
  MARU_TRY(value, find_checked(key, false));
  if (value->type != ValueType::kString) {
    return Error::corrupt(
        fmt::format("metadata key '{}' holds {}, expected a string", key, describe(*value)));
  }
  return *StringArray(*value).begin();
}

Result<uint32_t> Metadata::get_u32_or(std::string_view key, uint32_t fallback) const {
  return has(key) ? get_u32(key) : Result<uint32_t>(fallback);
}
Result<uint64_t> Metadata::get_u64_or(std::string_view key, uint64_t fallback) const {
  return has(key) ? get_u64(key) : Result<uint64_t>(fallback);
}
Result<int32_t> Metadata::get_i32_or(std::string_view key, int32_t fallback) const {
  return has(key) ? get_i32(key) : Result<int32_t>(fallback);
}
Result<float> Metadata::get_f32_or(std::string_view key, float fallback) const {
  return has(key) ? get_f32(key) : Result<float>(fallback);
}
Result<bool> Metadata::get_bool_or(std::string_view key, bool fallback) const {
  return has(key) ? get_bool(key) : Result<bool>(fallback);
}
Result<std::string_view> Metadata::get_string_or(std::string_view key,
                                                 std::string_view fallback) const {
  return has(key) ? get_string(key) : Result<std::string_view>(fallback);
}

Result<NumberArray<uint8_t>> Metadata::get_u8s(std::string_view key) const {
  return get_numbers<uint8_t>(key);
}
Result<NumberArray<int32_t>> Metadata::get_i32s(std::string_view key) const {
  return get_numbers<int32_t>(key);
}
Result<NumberArray<uint32_t>> Metadata::get_u32s(std::string_view key) const {
  return get_numbers<uint32_t>(key);
}
Result<NumberArray<float>> Metadata::get_f32s(std::string_view key) const {
  return get_numbers<float>(key);
}
Result<NumberArray<bool>> Metadata::get_bools(std::string_view key) const {
  return get_numbers<bool>(key);
}

Result<StringArray> Metadata::get_strings(std::string_view key) const {
  MARU_TRY(value, find_checked(key, true));
  if (value->type != ValueType::kString) {
    return Error::corrupt(
        fmt::format("metadata key '{}' holds {}, expected strings", key, describe(*value)));
  }
  return StringArray(*value);
}

bool Metadata::is_array(std::string_view key) const {
  const Value* value = find(key);
  return value != nullptr && value->is_array;
}

}  // namespace maru::gguf
