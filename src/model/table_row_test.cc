#include "model/table_row.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "gguf/writer.h"
#include "tensor/quantize.h"

namespace maru::model {
namespace {

constexpr size_t kRows = 4096, kCols = 1216;  // 20 MB; more than one read of 4 KiB a row

// A file with a table whose row r holds r at every place, removed at the end.
class TableFile {
 public:
  TableFile()
      : path_(std::filesystem::temp_directory_path() /
              ("maru_table_row_" + std::to_string(::getpid()) + ".gguf")) {
    std::vector<float> values(kRows * kCols);
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i / kCols);
    gguf::Writer writer;
    writer.set_string("general.architecture", "none");
    const uint64_t dims[] = {kCols, kRows};
    writer.add_tensor("table", tensor::DType::kF32, dims, std::as_bytes(std::span(values)));
    std::ofstream(path_, std::ios::binary) << writer.finish();
  }
  ~TableFile() { std::filesystem::remove(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Bytes of the file that are memory of this process.
size_t mapped_bytes(const std::filesystem::path& path) {
  std::ifstream maps("/proc/self/smaps");
  size_t n_kib = 0;
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.find('-') < line.find(' ')) inside = line.ends_with(path.filename().string());
    if (inside && line.starts_with("Rss:")) n_kib += std::stoul(line.substr(4));
  }
  return n_kib * 1024;
}

TEST(TableRow, ReadsRowsAndLeavesTheFileWhereItIs) {
  const TableFile table_file;
  const auto file = gguf::File::open(table_file.path());
  ASSERT_TRUE(file.ok()) << file.error().message;
  const gguf::TensorView table = *file->tensor("table");
  const size_t mapped_before = mapped_bytes(table_file.path());
  EXPECT_GT(mapped_before, 0u);  // the header
  std::vector<float> row(kCols);
  for (size_t r = 0; r < kRows; ++r) {
    read_table_row(*file, table, r, row.data());
    ASSERT_EQ(row.front(), static_cast<float>(r));
    ASSERT_EQ(row.back(), static_cast<float>(r));
  }
  EXPECT_EQ(mapped_bytes(table_file.path()), mapped_before);
}

TEST(TableRow, IsNaNWhereTheFileWasCut) {
  const TableFile table_file;
  const auto file = gguf::File::open(table_file.path());
  ASSERT_TRUE(file.ok()) << file.error().message;
  std::filesystem::resize_file(table_file.path(), 1 << 20);
  std::vector<float> row(kCols);
  read_table_row(*file, *file->tensor("table"), kRows - 1, row.data());
  for (const float value : row) EXPECT_TRUE(std::isnan(value));
}

}  // namespace
}  // namespace maru::model
