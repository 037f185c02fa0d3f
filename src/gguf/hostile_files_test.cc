// The shapes of files that broke other readers of this format, each as one case: refused with a
// reason, in memory bounded by the file. The ids are those of the published advisories.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "base/rng.h"
#include "gguf/file.h"
#include "memory_meter.h"
#include "mutate.h"

namespace maru::gguf {
namespace {

using ::testing::HasSubstr;
using testing_support::kHostileMemoryMax;
using testing_support::MemoryMeter;
using testing_support::setting;

constexpr uint32_t kTypeF32 = 0;
constexpr uint32_t kTypeQ8 = 8;
constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();

std::string number(uint64_t value, size_t n_bytes) {
  std::string out(n_bytes, '\0');
  testing_support::overwrite_number(out, 0, value, n_bytes);
  return out;
}
std::string counted(std::string_view text) { return number(text.size(), 8) + std::string(text); }
std::string header(uint64_t n_tensors, uint64_t n_entries) {
  return "GGUF" + number(3, 4) + number(n_tensors, 8) + number(n_entries, 8);
}
std::string info(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type,
                 uint64_t offset) {
  std::string out = counted(name) + number(dims.size(), 4);
  for (const uint64_t dim : dims) out += number(dim, 8);
  return out + number(type, 4) + number(offset, 8);
}
std::string with_data(std::string head, size_t n_bytes = 256) {
  head.resize((head.size() + 31) / 32 * 32 + n_bytes);
  return head;
}

std::string error_of(const std::string& bytes) {
  const MemoryMeter meter;
  const auto file = File::parse(std::as_bytes(std::span(bytes)));
  EXPECT_LE(meter.peak_bytes(), bytes.size() + kHostileMemoryMax);
  return file.ok() ? "no error" : file.error().message;
}

// CVE-2024-23496 and CVE-2024-21802: the length of a string plus one wrapped to an allocation of 0.
TEST(HostileFiles, LengthsOfStringsThatWrap) {
  for (const uint64_t n : {kHuge, kHuge - 1, kHuge / 2, uint64_t{1} << 32, kHuge - 7}) {
    EXPECT_THAT(error_of(with_data(header(0, 1) + number(n, 8) + "key")), HasSubstr("truncated"));
    EXPECT_THAT(error_of(with_data(header(0, 1) + counted("k") + number(8, 4) + number(n, 8))),
                HasSubstr("truncated"));
    EXPECT_THAT(error_of(with_data(header(1, 0) + number(n, 8) + "name")), HasSubstr("truncated"));
  }
}

// CVE-2024-23605, CVE-2024-21836: counts times the size of a record wrapped.
TEST(HostileFiles, CountsOfRecordsThatWrap) {
  for (const uint64_t record : {16, 24, 32, 40, 48, 56, 64, 96, 128, 368}) {
    const uint64_t n = kHuge / record + 1;
    EXPECT_THAT(error_of(with_data(header(0, n))), HasSubstr("limit")) << record;
    EXPECT_THAT(error_of(with_data(header(n, 0))), HasSubstr("limit")) << record;
  }
}

// CVE-2024-21825: the number of elements of an array times their size wrapped.
TEST(HostileFiles, ArraysThatWrap) {
  for (uint32_t type = 0; type <= 12; ++type) {
    for (const uint64_t n_bytes : {1, 2, 4, 8, 16}) {
      const std::string array = counted("k") + number(9, 4) + number(type, 4) +
                                number(kHuge / n_bytes + 1 + (n_bytes == 1 ? kHuge : 0), 8);
      EXPECT_NE(error_of(with_data(header(0, 1) + array)), "no error") << type << " " << n_bytes;
    }
  }
}

// CVE-2025-53630 and its bypass CVE-2026-27940: sizes of tensors, each possible, whose sum wraps.
TEST(HostileFiles, SumsOfTensorsThatWrap) {
  const uint64_t quarter = uint64_t{1} << 60;  // elements: 2^62 bytes
  std::string infos;
  for (uint64_t i = 0; i < 4; ++i) {
    infos += info("t" + std::to_string(i), {quarter}, kTypeF32, i << 62);
  }
  EXPECT_THAT(error_of(with_data(header(4, 0) + infos)), HasSubstr("ends"));
  // The last one begins near 2^64, so that its end is a small number again.
  const std::string last = info("a", {8}, kTypeF32, 0) + info("b", {16}, kTypeF32, kHuge - 31);
  EXPECT_THAT(error_of(with_data(header(2, 0) + last)), HasSubstr("beyond 2^64"));
  // Padding of the last one to the alignment.
  const std::string padded = info("a", {uint64_t{1} << 61}, kTypeF32, kHuge - 4095);
  EXPECT_NE(error_of(with_data(header(1, 1) + counted("general.alignment") + number(4, 4) +
                               number(4096, 4) + padded)),
            "no error");
}

// CVE-2026-33298: dimensions whose product in bytes wraps to a small number.
TEST(HostileFiles, DimensionsThatWrap) {
  const std::vector<std::vector<uint64_t>> shapes = {
      {uint64_t{1} << 62, 4},
      {uint64_t{1} << 62},
      {uint64_t{1} << 32, uint64_t{1} << 32},
      {uint64_t{1} << 31, uint64_t{1} << 31, 4},
      {uint64_t{1} << 16, uint64_t{1} << 16, uint64_t{1} << 16, uint64_t{1} << 16},
      {uint64_t{1} << 63, 2},
      {kHuge},
      {kHuge, kHuge, kHuge, kHuge},
      {(uint64_t{1} << 62) + 32, 4},
  };
  for (const auto& dims : shapes) {
    for (const uint32_t type : {kTypeF32, kTypeQ8}) {
      EXPECT_NE(error_of(with_data(header(1, 0) + info("t", dims, type, 0))), "no error");
    }
  }
}

// CVE-2026-7482: a tensor that is longer than the file, so that what lies behind it gets out.
TEST(HostileFiles, TensorsThatLieNeverReachBeyondTheFile) {
  const uint64_t first = setting("MARU_FUZZ_SEED", 1);
  const uint64_t n = std::max<uint64_t>(5000, setting("MARU_FUZZ_ITERATIONS", 5000));
  size_t n_accepted = 0;
  for (uint64_t seed = first; seed < first + n; ++seed) {
    Rng rng(seed);
    const size_t n_data = 32 * rng.below(9);
    const uint64_t n_tensors = 1 + rng.below(3);
    std::string head = header(n_tensors, 0);
    for (uint64_t i = 0; i < n_tensors; ++i) {
      const bool is_quantized = rng.below(3) == 0;
      std::vector<uint64_t> dims;
      for (uint64_t d = rng.below(4); d > 0; --d) {
        dims.push_back(rng.below(8) == 0 ? testing_support::interesting_number(rng, n_data)
                                         : 1 + rng.below(12));
      }
      if (is_quantized && !dims.empty()) dims[0] *= 32;
      const uint64_t offset =
          rng.below(8) == 0 ? testing_support::interesting_number(rng, n_data) : 32 * rng.below(9);
      head += info("t" + std::to_string(i), dims, is_quantized ? kTypeQ8 : kTypeF32, offset);
    }
    // A heap block of its own and of exactly this size: a sanitizer sees a read past its end.
    const std::string file = with_data(head, n_data);
    const std::vector<std::byte> bytes(
        reinterpret_cast<const std::byte*>(file.data()),
        reinterpret_cast<const std::byte*>(file.data()) + file.size());
    const auto parsed = File::parse(bytes);
    if (!parsed.ok()) continue;
    ++n_accepted;
    for (const TensorView& tensor : parsed->tensors()) {
      ASSERT_GE(tensor.bytes.data(), bytes.data() + head.size()) << "seed " << seed;
      ASSERT_LE(tensor.bytes.data() + tensor.bytes.size(), bytes.data() + bytes.size())
          << "seed " << seed;
    }
  }
  EXPECT_GE(n_accepted, n / 50);
}

}  // namespace
}  // namespace maru::gguf
