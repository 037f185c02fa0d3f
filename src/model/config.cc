#include "model/config.h"

#include <fmt/format.h>

#include "tensor/dequantize.h"

namespace maru::model {
namespace {

Result<size_t> limited(std::string_view key, uint64_t value) {
  if (value > kCountMax) {
    return Error::corrupt(fmt::format("{} is {}, more than {}", key, value, kCountMax));
  }
  return static_cast<size_t>(value);
}

}  // namespace

std::string Config::full(std::string_view key) const {
  return fmt::format("{}.{}", architecture_, key);
}

Result<size_t> Config::count(std::string_view key) const {
  MARU_TRY(value, file_.metadata().get_u64(full(key)));
  return limited(full(key), value);
}

Result<size_t> Config::count_or(std::string_view key, size_t fallback) const {
  if (!has(key)) return fallback;
  return count(key);
}

Result<std::vector<size_t>> Config::counts(std::string_view key, size_t n_layer) const {
  if (!file_.metadata().is_array(full(key))) {
    MARU_TRY(value, count(key));
    return std::vector<size_t>(n_layer, value);
  }
  MARU_TRY(values, file_.metadata().get_u32s(full(key)));
  if (values.size() != n_layer) {
    return Error::corrupt(fmt::format("{} has {} entries, expected one for each of {} layers",
                                      full(key), values.size(), n_layer));
  }
  std::vector<size_t> out;
  for (size_t i = 0; i < n_layer; ++i) {
    MARU_TRY(value, limited(full(key), values[i]));
    out.push_back(value);
  }
  return out;
}

Result<std::vector<bool>> Config::flags(std::string_view key, size_t n_layer) const {
  MARU_TRY(values, file_.metadata().get_bools(full(key)));
  if (values.size() != n_layer) {
    return Error::corrupt(fmt::format("{} has {} entries, expected one for each of {} layers",
                                      full(key), values.size(), n_layer));
  }
  std::vector<bool> out;
  for (size_t i = 0; i < n_layer; ++i) out.push_back(values[i]);
  return out;
}

Result<float> Config::number(std::string_view key) const {
  return file_.metadata().get_f32(full(key));
}

Result<float> Config::number_or(std::string_view key, float fallback) const {
  return file_.metadata().get_f32_or(full(key), fallback);
}

Result<bool> Config::flag_or(std::string_view key, bool fallback) const {
  return file_.metadata().get_bool_or(full(key), fallback);
}

Result<std::string> Config::text_or(std::string_view key, std::string_view fallback) const {
  MARU_TRY(value, file_.metadata().get_string_or(full(key), fallback));
  return std::string(value);
}

Result<std::vector<float>> Config::vector(std::string_view tensor, size_t n) const {
  MARU_TRY(view, file_.tensor(tensor));
  if (view.n_elements() != n) {
    return Error::corrupt(
        fmt::format("tensor '{}' has {} values, expected {}", tensor, view.n_elements(), n));
  }
  if (!tensor::can_dequantize(view.dtype)) {
    return Error::unsupported(
        fmt::format("tensor '{}' of type {}; accepted: float and quantized "
                    "types",
                    tensor, tensor::dtype_info(view.dtype).name));
  }
  std::vector<float> values(n);
  std::vector<std::byte> bytes(view.bytes.size());
  MARU_TRY_VOID(file_.read(view.bytes.data(), bytes));
  tensor::dequantize(view.dtype, bytes.data(), n, values.data());
  return values;
}

Result<std::vector<float>> Config::optional_vector(std::string_view tensor, size_t n) const {
  if (file_.find_tensor(tensor) == nullptr) return std::vector<float>();
  return vector(tensor, n);
}

}  // namespace maru::model
