// Seeded mutations of a wheel: whatever comes, an error or at most the bytes that were allowed.
#include <cstdlib>

#include "base/files.h"
#include "base/rng.h"
#include "hub/test_wheels.h"
#include "hub/wheel.h"

namespace maru::hub {
namespace {

constexpr size_t kIterations = 300;
constexpr uint64_t kBytesMax = 5'000;

TEST(WheelFuzz, MutatedWheelsAreRefusedOrStayWithinTheirBound) {
  const TestFolder folder;
  const std::filesystem::path path = folder.path() / "a.whl";
  write_wheel(path, "pkg/data.bin", std::string(4'000, 'x') + "end");
  const std::string original = read_file(path, 1 << 20).value();
  const char* wanted = std::getenv("MARU_FUZZ_ITERATIONS");
  const size_t n_iterations = wanted ? std::strtoull(wanted, nullptr, 10) : kIterations;
  for (uint64_t seed = 0; seed < n_iterations; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed);
    std::string bytes = original;
    for (uint64_t i = 0, n = 1 + rng.next() % 8; i < n; ++i) {
      bytes[rng.next() % bytes.size()] = static_cast<char>(rng.next());
    }
    if (rng.next() % 4 == 0) bytes.resize(rng.next() % bytes.size());
    ASSERT_TRUE(write_file_atomic(path, bytes).ok());
    uint64_t n_seen = 0;
    const auto n = read_wheel_member(path, "pkg/data.bin", kBytesMax,
                                     [&](std::span<const std::byte> piece) -> Result<void> {
                                       n_seen += piece.size();
                                       return {};
                                     });
    EXPECT_LE(n_seen, kBytesMax);
    if (n.ok()) {
      EXPECT_EQ(*n, n_seen);
    } else {
      EXPECT_EQ(n.error().code, ErrorCode::kCorrupt);
    }
  }
}

}  // namespace
}  // namespace maru::hub
