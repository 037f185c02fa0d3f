// safetensors_writer.h - makes safetensors files in memory for tests of the importer.
#pragma once
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace maru::testing_support {

class SafetensorsWriter {
 public:
  void add(const std::string& name, std::string_view dtype, const std::vector<size_t>& shape,
           std::string_view bytes) {
    header_[name] = {{"dtype", dtype},
                     {"shape", shape},
                     {"data_offsets", {data_.size(), data_.size() + bytes.size()}}};
    data_ += bytes;
  }
  void add_f32(const std::string& name, const std::vector<size_t>& shape,
               const std::vector<float>& values) {
    std::string bytes(values.size() * sizeof(float), '\0');
    std::memcpy(bytes.data(), values.data(), bytes.size());
    add(name, "F32", shape, bytes);
  }

  std::string finish() const { return with_header(header_.dump(), data_); }

  // A file of any header and data.
  static std::string with_header(const std::string& header, const std::string& data) {
    const uint64_t n = header.size();
    std::string file(sizeof n, '\0');
    std::memcpy(file.data(), &n, sizeof n);
    return file + header + data;
  }

 private:
  nlohmann::ordered_json header_ = nlohmann::ordered_json::object();
  std::string data_;
};

}  // namespace maru::testing_support
