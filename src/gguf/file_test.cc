#include "gguf/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>

#include "gguf/writer.h"

namespace maru::gguf {
namespace {

using testing::HasSubstr;

std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string little_endian(uint64_t value, size_t n_bytes) {
  std::string out;
  for (size_t i = 0; i < n_bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}

std::string header(uint64_t n_tensors, uint64_t n_entries) {
  return "GGUF" + little_endian(3, 4) + little_endian(n_tensors, 8) + little_endian(n_entries, 8);
}

std::string counted(std::string_view text) {
  return little_endian(text.size(), 8) + std::string(text);
}

std::string tensor_info(std::string_view name, std::vector<uint64_t> dims, uint32_t type,
                        uint64_t offset) {
  std::string out = counted(name) + little_endian(dims.size(), 4);
  for (const uint64_t dim : dims) out += little_endian(dim, 8);
  return out + little_endian(type, 4) + little_endian(offset, 8);
}

std::string error_of(std::string_view file) {
  const auto result = File::parse(as_bytes(file));
  return result.ok() ? "no error" : result.error().message;
}

std::string small_file() {
  Writer writer;
  writer.set_string("general.architecture", "llama");
  writer.set_u32("llama.block_count", 12);
  writer.set_u64("big", uint64_t{1} << 40);
  writer.set_i32("negative", -3);
  writer.set_f32("epsilon", 0.5f);
  writer.set_bool("flag", true);
  writer.set_strings("tokens", std::vector<std::string>{"a", "", "마루"});
  writer.set_i32s("kinds", std::vector<int32_t>{1, 2, 300});
  writer.set_f32s("scores", std::vector<float>{-1.5f, 2});
  writer.set_u8s("charsmap", std::vector<uint8_t>{1, 255});
  const std::vector<float> matrix = {1, 2, 3, 4, 5, 6};
  writer.add_tensor("matrix", tensor::DType::kF32, std::vector<uint64_t>{3, 2},
                    std::as_bytes(std::span(matrix)));
  const std::string blocks(2 * 34, 'q');
  writer.add_tensor("blocks", tensor::DType::kQ8_0, std::vector<uint64_t>{64}, as_bytes(blocks));
  return writer.finish();
}

TEST(GgufFile, ReadsWhatTheWriterWrote) {
  const std::string bytes = small_file();
  const auto file = File::parse(as_bytes(bytes));
  ASSERT_TRUE(file.ok()) << file.error().message;
  const Metadata& metadata = file->metadata();
  EXPECT_EQ(*metadata.get_string("general.architecture"), "llama");
  EXPECT_EQ(*metadata.get_u32("llama.block_count"), 12u);
  EXPECT_EQ(*metadata.get_u64("llama.block_count"), 12u);
  EXPECT_EQ(*metadata.get_u64("big"), uint64_t{1} << 40);
  EXPECT_EQ(*metadata.get_i32("negative"), -3);
  EXPECT_EQ(*metadata.get_f32("epsilon"), 0.5f);
  EXPECT_EQ(*metadata.get_f32("llama.block_count"), 12.0f);
  EXPECT_EQ(*metadata.get_bool("flag"), true);
  EXPECT_EQ(*metadata.get_u32_or("absent", 7), 7u);
  const auto tokens = metadata.get_strings("tokens");
  EXPECT_EQ(std::vector<std::string_view>(tokens->begin(), tokens->end()),
            (std::vector<std::string_view>{"a", "", "마루"}));
  EXPECT_EQ(metadata.get_i32s("kinds")->to_vector(), (std::vector<int32_t>{1, 2, 300}));
  EXPECT_EQ(metadata.get_u32s("kinds")->to_vector(), (std::vector<uint32_t>{1, 2, 300}));
  EXPECT_EQ(metadata.get_f32s("scores")->to_vector(), (std::vector<float>{-1.5f, 2}));
  EXPECT_EQ(metadata.get_u8s("charsmap")->to_vector(), (std::vector<uint8_t>{1, 255}));

  ASSERT_EQ(file->tensors().size(), 2u);
  const auto matrix = file->tensor("matrix");
  EXPECT_EQ(matrix->n_cols(), 3u);
  EXPECT_EQ(matrix->n_rows(), 2u);
  EXPECT_EQ(matrix->row_bytes(), 12u);
  float last = 0;
  std::memcpy(&last, matrix->bytes.data() + 20, sizeof last);
  EXPECT_EQ(last, 6.0f);
  EXPECT_EQ(file->find_tensor("blocks")->bytes.size(), 68u);
  EXPECT_EQ(file->find_tensor("absent"), nullptr);
  EXPECT_THAT(file->tensor("absent").error().message, HasSubstr("no tensor 'absent'"));
}

TEST(GgufFile, GettersNameTheKeyAndWhatItHolds) {
  const std::string bytes = small_file();
  const auto file = File::parse(as_bytes(bytes));
  const Metadata& metadata = file->metadata();
  EXPECT_THAT(metadata.get_u32("absent").error().message, HasSubstr("no metadata key 'absent'"));
  EXPECT_THAT(metadata.get_u32("big").error().message,
              HasSubstr("'big' is 1099511627776, expected integer from 0 to 4294967295"));
  EXPECT_THAT(metadata.get_u32("negative").error().message, HasSubstr("'negative' is -3"));
  EXPECT_THAT(metadata.get_u32("epsilon").error().message, HasSubstr("'epsilon' holds a f32"));
  EXPECT_THAT(metadata.get_u32_or("flag", 1).error().message, HasSubstr("'flag' holds a bool"));
  EXPECT_THAT(metadata.get_f32("flag").error().message, HasSubstr("'flag' holds a bool"));
  EXPECT_THAT(metadata.get_string("kinds").error().message,
              HasSubstr("'kinds' holds an array of 3 i32 values, expected one value"));
  EXPECT_THAT(metadata.get_u8s("kinds").error().message, HasSubstr("element 2 is no integer"));
  EXPECT_THAT(metadata.get_i32s("tokens").error().message, HasSubstr("'tokens'"));
  EXPECT_THAT(metadata.get_strings("kinds").error().message, HasSubstr("expected strings"));
  EXPECT_THAT(metadata.get_strings("flag").error().message, HasSubstr("expected an array"));
}

TEST(GgufFile, ReadsVersion2) {
  std::string bytes = small_file();
  bytes[4] = 2;
  EXPECT_EQ(error_of(bytes), "no error");
}

TEST(GgufFile, SaysWhatAFileLooksLike) {
  EXPECT_THAT(error_of(""), HasSubstr("empty"));
  EXPECT_THAT(error_of("PK\x03\x04zip"), HasSubstr("zip"));
  EXPECT_THAT(error_of("version https://git-lfs.github.com/spec/v1\noid"), HasSubstr("git-lfs"));
  EXPECT_THAT(error_of("<!DOCTYPE html><title>404"), HasSubstr("HTML"));
  EXPECT_THAT(error_of(little_endian(90, 8) + "{\"__metadata__\":{}}"), HasSubstr("safetensors"));
  EXPECT_THAT(error_of("hello"), HasSubstr("68 65 6c 6c 6f"));
  EXPECT_THAT(error_of("GG"), HasSubstr("not a GGUF"));
  EXPECT_THAT(error_of("GGUF" + little_endian(1, 4)), HasSubstr("version 1"));
  EXPECT_THAT(error_of("GGUF" + little_endian(4, 4)), HasSubstr("version 4"));
  EXPECT_THAT(error_of("GGUF" + little_endian(0x03000000, 4)), HasSubstr("big endian"));
}

// Cut anywhere, a file is an error that gives both sizes, and never a crash.
TEST(GgufFile, EveryTruncationIsAnError) {
  const std::string bytes = small_file();
  // The writer pads after the last tensor; the last byte that counts is the tensor's.
  const size_t n_needed = bytes.size() - (96 - 68);
  for (size_t n = 0; n < n_needed; ++n) {
    // A copy of its own, so that a sanitizer sees a read past the cut.
    const std::string cut = bytes.substr(0, n);
    ASSERT_NE(error_of(cut), "no error") << n;
  }
  EXPECT_THAT(error_of(bytes.substr(0, n_needed - 1)),
              HasSubstr("'blocks' ends at byte " + std::to_string(n_needed) + ", the file has " +
                        std::to_string(n_needed - 1) + " bytes"));
  EXPECT_EQ(error_of(bytes.substr(0, n_needed)), "no error");
}

TEST(GgufFile, RefusesCountsBeyondTheFile) {
  const uint64_t huge = std::numeric_limits<uint64_t>::max();
  EXPECT_THAT(error_of(header(huge, 0)), HasSubstr("limit of 65536"));
  EXPECT_THAT(error_of(header(0, huge)), HasSubstr("limit of 65536"));
  EXPECT_THAT(error_of(header(60'000, 0)), HasSubstr("truncated"));
  EXPECT_THAT(error_of(header(0, 60'000)), HasSubstr("truncated"));
  // A key, a string value and an array whose lengths would wrap.
  EXPECT_THAT(error_of(header(0, 1) + little_endian(huge, 8)), HasSubstr("truncated"));
  const std::string key = header(0, 1) + counted("k");
  EXPECT_THAT(error_of(key + little_endian(8, 4) + little_endian(huge, 8)), HasSubstr("truncated"));
  for (const uint32_t element : {0u, 4u, 8u, 10u}) {
    EXPECT_THAT(
        error_of(key + little_endian(9, 4) + little_endian(element, 4) + little_endian(huge, 8)),
        HasSubstr("truncated"));
    EXPECT_THAT(error_of(key + little_endian(9, 4) + little_endian(element, 4) +
                         little_endian(huge / 8 + 2, 8)),
                HasSubstr("truncated"));
  }
  EXPECT_THAT(error_of(key + little_endian(13, 4)), HasSubstr("value type 13"));
  EXPECT_THAT(error_of(key + little_endian(9, 4) + little_endian(9, 4) + little_endian(0, 8)),
              HasSubstr("array of arrays"));
  const std::string long_string(kStringBytesMax + 1, 'x');
  EXPECT_THAT(error_of(key + little_endian(8, 4) + counted(long_string)), HasSubstr("limit"));
}

std::string one_tensor(std::vector<uint64_t> dims, uint32_t type, uint64_t offset) {
  std::string bytes = header(1, 0) + tensor_info("t", std::move(dims), type, offset);
  bytes.resize((bytes.size() + 31) / 32 * 32 + 256);
  return bytes;
}

TEST(GgufFile, RefusesTensorsThatLie) {
  EXPECT_EQ(error_of(one_tensor({8, 8}, 0, 0)), "no error");
  EXPECT_EQ(error_of(one_tensor({}, 0, 0)), "no error");  // one number
  EXPECT_THAT(error_of(one_tensor({8, 9}, 0, 0)), HasSubstr("truncated"));
  EXPECT_THAT(error_of(one_tensor({8, 8}, 0, 32)), HasSubstr("truncated"));
  EXPECT_THAT(error_of(one_tensor({8, 4}, 0, 4)), HasSubstr("multiple of 32"));
  EXPECT_THAT(error_of(one_tensor({8, 0}, 0, 0)), HasSubstr("dimension of 0"));
  EXPECT_THAT(error_of(one_tensor({1, 1, 1, 1, 1}, 0, 0)), HasSubstr("5 dimensions"));
  EXPECT_THAT(error_of(one_tensor({uint64_t{1} << 32, uint64_t{1} << 32}, 0, 0)),
              HasSubstr("2^64 elements"));
  EXPECT_THAT(error_of(one_tensor({uint64_t{1} << 63}, 0, 0)), HasSubstr("2^64 bytes"));
  EXPECT_THAT(error_of(one_tensor({uint64_t{1} << 61}, 0, ~uint64_t{31})), HasSubstr("bytes"));
  EXPECT_THAT(error_of(one_tensor({4}, 0, ~uint64_t{31})), HasSubstr("beyond 2^64"));
  EXPECT_THAT(error_of(one_tensor({33}, 8, 0)), HasSubstr("Q8_0 needs a multiple of 32"));
  EXPECT_THAT(error_of(one_tensor({4}, 4711, 0)),
              HasSubstr("tensor 't' has type number 4711, which Maru does not know"));
}

TEST(GgufFile, RefusesNamesThatOccurTwiceAndOverlaps) {
  const auto two = [](std::string_view first, std::string_view second, uint64_t offset) {
    std::string bytes =
        header(2, 0) + tensor_info(first, {8}, 0, 0) + tensor_info(second, {8}, 0, offset);
    bytes.resize((bytes.size() + 31) / 32 * 32 + 64);
    return bytes;
  };
  EXPECT_EQ(error_of(two("a", "b", 32)), "no error");
  EXPECT_THAT(error_of(two("a", "a", 32)), HasSubstr("tensor name 'a' occurs twice"));
  EXPECT_THAT(error_of(two("a", "b", 0)), HasSubstr("overlap"));
  const std::string entry = counted("k") + little_endian(0, 4) + "x";
  EXPECT_THAT(error_of(header(0, 2) + entry + entry), HasSubstr("key 'k' occurs twice"));
}

TEST(GgufFile, ChecksTheAlignment) {
  const auto aligned = [](uint32_t alignment) {
    Writer writer;
    writer.set_u32("general.alignment", alignment);
    return writer.finish();
  };
  EXPECT_EQ(error_of(aligned(4096)), "no error");
  for (const uint32_t bad : {0u, 24u, 8192u, 0x80000000u}) {
    EXPECT_THAT(error_of(aligned(bad)), HasSubstr("power of two")) << bad;
  }
}

TEST(GgufFile, ErrorsNeverCarryRawBytes) {
  std::string name = "bad\x1b[31m\xff";
  name += std::string(200, 'x');
  EXPECT_THAT(error_of(header(1, 0) + tensor_info(name, {4}, 999, 0)),
              HasSubstr("tensor 'bad?[31m\xEF\xBF\xBDxxx"));
}

TEST(GgufFile, OpensFromDiskAndNamesThePath) {
  EXPECT_EQ(File::open("/nonexistent/model.gguf").error().code, ErrorCode::kNotFound);
  const auto path = std::filesystem::temp_directory_path() / "maru_gguf_file_test.gguf";
  ASSERT_TRUE(write_file_atomic(path, small_file()).ok());
  auto opened = File::open(path);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  const File file = std::move(opened).value();
  EXPECT_EQ(file.tensors().size(), 2u);
  file.drop(file.tensors()[0]);
  const auto bytes = file.tensors()[1].bytes;
  std::vector<std::byte> copy(bytes.size() - 1);
  ASSERT_TRUE(file.read(bytes.data() + 1, copy).ok());
  EXPECT_TRUE(std::ranges::equal(copy, bytes.subspan(1)));
  std::filesystem::resize_file(path, 64);
  const auto cut = file.read(bytes.data() + 1, copy);
  EXPECT_EQ(cut.error().code, ErrorCode::kIo);
  EXPECT_THAT(cut.error().message, HasSubstr("it ends at byte"));
  ASSERT_TRUE(write_file_atomic(path, "PK\x03\x04").ok());
  EXPECT_THAT(File::open(path).error().message, HasSubstr(path.string()));
  std::filesystem::remove(path);
}

// Three parts with a tensor each; `spoil` may change what part i says of itself.
class SplitFiles : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("maru_split_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path part(int i) const {
    return folder_ / ("m-0000" + std::to_string(i + 1) + "-of-00003.gguf");
  }
  void write(int i, uint32_t number, uint32_t count, const std::string& tensor) {
    Writer writer;
    if (i == 0) writer.set_string("general.name", "whole");
    if (i == 0) writer.set_i32("split.tensors.count", 3);
    writer.set_u32("split.no", number);
    writer.set_u32("split.count", count);
    const auto value = static_cast<float>(i);
    writer.add_tensor(tensor, tensor::DType::kF32, std::vector<uint64_t>{1},
                      std::as_bytes(std::span(&value, 1)));
    ASSERT_TRUE(write_file_atomic(part(i), writer.finish()).ok());
  }
  void write_all() {
    for (int i = 0; i < 3; ++i) write(i, static_cast<uint32_t>(i), 3, "t" + std::to_string(i));
  }
  std::string error() const {
    const auto file = File::open(part(0));
    return file.ok() ? "no error" : file.error().message;
  }

  std::filesystem::path folder_;
};

TEST_F(SplitFiles, AreOneFile) {
  write_all();
  const auto file = File::open(part(0));
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(*file->metadata().get_string("general.name"), "whole");
  ASSERT_EQ(file->tensors().size(), 3u);
  for (int i = 0; i < 3; ++i) {
    const auto tensor = file->tensor("t" + std::to_string(i));
    ASSERT_TRUE(tensor.ok());
    float value = -1;
    std::memcpy(&value, tensor->bytes.data(), sizeof value);
    EXPECT_EQ(value, static_cast<float>(i));
    file->drop(*tensor);
  }
}

TEST_F(SplitFiles, SayWhatIsMissingOrWrong) {
  write_all();
  EXPECT_THAT(File::open(part(1)).error().message,
              HasSubstr("part 2 of 3 of a model: open part 1"));
  write(2, 1, 3, "t2");
  EXPECT_THAT(error(), HasSubstr("part 3 of 3 says that it is part 2 of 3"));
  write(2, 2, 4, "t2");
  EXPECT_THAT(error(), HasSubstr("says that it is part 3 of 4"));
  write(2, 2, 3, "t1");
  EXPECT_THAT(error(), HasSubstr("tensor name 't1' occurs twice"));
  std::filesystem::remove(part(2));
  EXPECT_THAT(error(), HasSubstr("m-00003-of-00003.gguf"));
  EXPECT_EQ(File::open(part(0)).error().code, ErrorCode::kNotFound);
  std::filesystem::rename(part(0), folder_ / "other.gguf");
  EXPECT_THAT(File::open(folder_ / "other.gguf").error().message,
              HasSubstr("must end in '-00001-of-00003.gguf'"));
  write(0, 0, 100'000, "t0");
  EXPECT_THAT(error(), HasSubstr("100000 parts, more than the limit"));
}

}  // namespace
}  // namespace maru::gguf
