#include "gguf/writer.h"

#include <bit>

#include "base/check.h"
#include "gguf/file.h"

namespace maru::gguf {
namespace {

static_assert(std::endian::native == std::endian::little, "a big-endian machine needs byte swaps");

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_string(std::string& out, std::string_view text) {
  put<uint64_t>(out, text.size());
  out.append(text);
}

}  // namespace

void Writer::begin_value(std::string_view key, ValueType type) {
  ++n_entries_;
  put_string(entries_, key);
  put(entries_, static_cast<uint32_t>(type));
}

void Writer::begin_array(std::string_view key, ValueType type, size_t count) {
  begin_value(key, ValueType::kArray);
  put(entries_, static_cast<uint32_t>(type));
  put<uint64_t>(entries_, count);
}

void Writer::set_u32(std::string_view key, uint32_t value) {
  begin_value(key, ValueType::kU32);
  put(entries_, value);
}

void Writer::set_u64(std::string_view key, uint64_t value) {
  begin_value(key, ValueType::kU64);
  put(entries_, value);
}

void Writer::set_i32(std::string_view key, int32_t value) {
  begin_value(key, ValueType::kI32);
  put(entries_, value);
}

void Writer::set_f32(std::string_view key, float value) {
  begin_value(key, ValueType::kF32);
  put(entries_, value);
}

void Writer::set_bool(std::string_view key, bool value) {
  begin_value(key, ValueType::kBool);
  put<uint8_t>(entries_, value ? 1 : 0);
}

void Writer::set_string(std::string_view key, std::string_view value) {
  begin_value(key, ValueType::kString);
  put_string(entries_, value);
}

void Writer::set_u8s(std::string_view key, std::span<const uint8_t> values) {
  begin_array(key, ValueType::kU8, values.size());
  for (const uint8_t value : values) put(entries_, value);
}

void Writer::set_i32s(std::string_view key, std::span<const int32_t> values) {
  begin_array(key, ValueType::kI32, values.size());
  for (const int32_t value : values) put(entries_, value);
}

void Writer::set_f32s(std::string_view key, std::span<const float> values) {
  begin_array(key, ValueType::kF32, values.size());
  for (const float value : values) put(entries_, value);
}

void Writer::set_bools(std::string_view key, const std::vector<bool>& values) {
  begin_array(key, ValueType::kBool, values.size());
  for (const bool value : values) put<uint8_t>(entries_, value ? 1 : 0);
}

void Writer::set_strings(std::string_view key, std::span<const std::string> values) {
  begin_array(key, ValueType::kString, values.size());
  for (const std::string& value : values) put_string(entries_, value);
}

void Writer::copy(const Entry& entry) {
  const Value& value = entry.value;
  if (value.is_array) {
    begin_array(entry.key, value.type, value.count);
  } else {
    begin_value(entry.key, value.type);
  }
  entries_.append(reinterpret_cast<const char*>(value.bytes.data()), value.bytes.size());
}

size_t Writer::padding_after(uint64_t n_bytes) {
  return static_cast<size_t>((kAlignmentDefault - n_bytes % kAlignmentDefault) % kAlignmentDefault);
}

uint64_t Writer::declare_tensor(std::string_view name, tensor::DType dtype,
                                std::span<const uint64_t> dims) {
  CHECK(dims.size() <= kDimsMax);
  const tensor::DTypeInfo& info = tensor::dtype_info(dtype);
  uint64_t n_elements = 1;
  for (const uint64_t dim : dims) n_elements *= dim;
  CHECK(dims.empty() || dims[0] % info.block_elements == 0);
  const uint64_t n_bytes = n_elements / info.block_elements * info.block_bytes;
  ++n_tensors_;
  put_string(infos_, name);
  put(infos_, static_cast<uint32_t>(dims.size()));
  for (const uint64_t dim : dims) put(infos_, dim);
  put(infos_, static_cast<uint32_t>(dtype));
  put<uint64_t>(infos_, data_bytes_);
  data_bytes_ += n_bytes + padding_after(n_bytes);
  return n_bytes;
}

void Writer::add_tensor(std::string_view name, tensor::DType dtype, std::span<const uint64_t> dims,
                        std::span<const std::byte> data) {
  CHECK(declare_tensor(name, dtype, dims) == data.size());
  data_.append(reinterpret_cast<const char*>(data.data()), data.size());
  data_.append(padding_after(data.size()), '\0');
}

std::string Writer::header() const {
  std::string file = "GGUF";
  put<uint32_t>(file, 3);
  put<uint64_t>(file, n_tensors_);
  put<uint64_t>(file, n_entries_);
  file += entries_;
  file += infos_;
  file.append(padding_after(file.size()), '\0');
  return file;
}

std::string Writer::finish() const {
  CHECK(data_.size() == data_bytes_);
  return header() + data_;
}

}  // namespace maru::gguf
