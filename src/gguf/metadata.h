// gguf/metadata.h - the key-value part of a GGUF file behind typed getters: nobody outside this
// folder sees a raw value, so a value of the wrong type is an error that names its key.
//
// Filled by gguf/file.cc; read by model/ (configuration, vocabulary) and by `maru show`. Keys,
// strings and arrays are views into the file's mapping and live as long as the File.
// Source: the GGUF specification (ggml, docs/gguf.md), versions 2 and 3.
// Threads: immutable once the file is open; any thread.
#pragma once
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace maru::gguf {

class Cursor;

// The values are those stored in files.
enum class ValueType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

// "u32", "string" and so on.
std::string_view value_type_name(ValueType type);

inline constexpr size_t kMetadataEntriesMax = 65'536;
inline constexpr size_t kKeyBytesMax = 65'535;
inline constexpr size_t kStringBytesMax = 1 << 20;

// A checked value: `bytes` holds exactly `count` elements of `type`; whole strings with their
// 8-byte lengths where the type is kString. A value that is no array has count 1.
struct Value {
  ValueType type = ValueType::kU8;  // of an array: the type of its elements; never kArray
  bool is_array = false;
  size_t count = 0;
  std::span<const std::byte> bytes;
};

struct Entry {
  std::string_view key;
  Value value;
};

// An array of numbers, converted on access from whatever width is stored.
// T is one of uint8_t, int32_t, uint32_t, float, bool; that every element fits was checked.
template <class T>
class NumberArray {
 public:
  NumberArray() = default;
  explicit NumberArray(const Value& value) : value_(value) {}
  size_t size() const { return value_.count; }
  bool empty() const { return size() == 0; }
  // Requires: index < size().
  T operator[](size_t index) const;
  std::vector<T> to_vector() const;

 private:
  Value value_;
};

// An array of strings, read in order.
class StringArray {
 public:
  class Iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = std::string_view;
    using difference_type = std::ptrdiff_t;
    Iterator() = default;
    Iterator(const std::byte* at, size_t n_left) : at_(at), n_left_(n_left) {}
    std::string_view operator*() const;
    Iterator& operator++();
    Iterator operator++(int);
    bool operator==(const Iterator& other) const { return n_left_ == other.n_left_; }

   private:
    const std::byte* at_ = nullptr;  // the length of the current string
    size_t n_left_ = 0;
  };

  StringArray() = default;
  explicit StringArray(const Value& value) : value_(value) {}
  size_t size() const { return value_.count; }
  bool empty() const { return size() == 0; }
  Iterator begin() const { return {value_.bytes.data(), value_.count}; }
  Iterator end() const { return {}; }

 private:
  Value value_;
};

// get_X: Errors: kCorrupt where the key is missing, holds another kind of value, or a number that
// does not fit; each names the key. Integers of any width convert when they fit; a float is never
// read as an integer, nor a bool as a number.
// get_X_or: the fallback where the key is missing, the same errors else.
class Metadata {
 public:
  // Reads n_entries key-value pairs. Errors: kCorrupt; kUnsupported for nested arrays.
  static Result<Metadata> read(Cursor& cursor, uint64_t n_entries);

  std::span<const Entry> entries() const { return entries_; }  // in file order
  bool has(std::string_view key) const { return find(key) != nullptr; }

  Result<uint32_t> get_u32(std::string_view key) const;
  Result<uint64_t> get_u64(std::string_view key) const;
  Result<int32_t> get_i32(std::string_view key) const;
  Result<float> get_f32(std::string_view key) const;
  Result<bool> get_bool(std::string_view key) const;
  Result<std::string_view> get_string(std::string_view key) const;

  Result<uint32_t> get_u32_or(std::string_view key, uint32_t fallback) const;
  Result<uint64_t> get_u64_or(std::string_view key, uint64_t fallback) const;
  Result<int32_t> get_i32_or(std::string_view key, int32_t fallback) const;
  Result<float> get_f32_or(std::string_view key, float fallback) const;
  Result<bool> get_bool_or(std::string_view key, bool fallback) const;
  Result<std::string_view> get_string_or(std::string_view key, std::string_view fallback) const;

  Result<NumberArray<uint8_t>> get_u8s(std::string_view key) const;
  Result<NumberArray<int32_t>> get_i32s(std::string_view key) const;
  Result<NumberArray<uint32_t>> get_u32s(std::string_view key) const;
  Result<NumberArray<float>> get_f32s(std::string_view key) const;
  Result<NumberArray<bool>> get_bools(std::string_view key) const;
  Result<StringArray> get_strings(std::string_view key) const;

  // True where the key holds an array (some keys hold one number or one per layer).
  bool is_array(std::string_view key) const;

 private:
  const Value* find(std::string_view key) const;
  Result<const Value*> find_checked(std::string_view key, bool want_array) const;
  template <class T>
  Result<T> get_number(std::string_view key) const;
  template <class T>
  Result<NumberArray<T>> get_numbers(std::string_view key) const;

  std::vector<Entry> entries_;
  std::vector<uint32_t> by_key_;  // indexes of entries_, sorted by key
};

}  // namespace maru::gguf
