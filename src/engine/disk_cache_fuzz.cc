// Changed, cut and lengthened KV files: what comes back is what was saved, or a miss.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>

#include "base/rng.h"
#include "engine/disk_cache.h"
#include "memory_meter.h"

namespace maru::engine {
namespace {

constexpr size_t kBlockBytes = 300;
constexpr size_t kBlocks = 4;

std::vector<std::byte> block_of(size_t i) { return {kBlockBytes, static_cast<std::byte>(i + 1)}; }

TEST(DiskCacheFuzz, ADamagedFileIsAMiss) {
  const uint64_t first = testing_support::setting("MARU_FUZZ_SEED", 1);
  const uint64_t n = testing_support::setting("MARU_FUZZ_ITERATIONS", 3000);
  std::FILE* file = std::tmpfile();
  const int fd = ::fileno(file);
  DiskCacheOptions options{.fd = fd, .block_bytes = kBlockBytes, .bytes_max = 1 << 20};
  options.secret.fill(std::byte{7});
  std::vector<TokenId> tokens(kBlocks * 64, 5);
  std::vector<DiskCache::Key> keys;
  {
    auto cache = DiskCache::open(options).value();
    keys = cache->keys(tokens, "");
    for (size_t i = 0; i < kBlocks; ++i) ASSERT_TRUE(cache->save(keys[i], block_of(i)));
  }
  std::vector<std::byte> good(static_cast<size_t>(::lseek(fd, 0, SEEK_END)));
  ASSERT_EQ(::pread(fd, good.data(), good.size(), 0), static_cast<ssize_t>(good.size()));
  size_t n_hits = 0, n_misses = 0;
  for (uint64_t seed = first; seed < first + n; ++seed) {
    Rng rng(seed);
    auto bad = good;
    for (uint64_t i = 0; i <= rng.below(4); ++i) {
      // The parts of a slot that mean something, and anywhere else.
      const size_t base = rng.below(5) == 0 ? 0 : 4096 + rng.below(kBlocks) * 8192;
      const size_t at = rng.below(2) == 0 ? base + rng.below(80) : base + rng.below(5000);
      if (at < bad.size()) bad[at] = static_cast<std::byte>(rng.next());
    }
    if (rng.below(8) == 0) bad.resize(rng.below(bad.size() * 2));
    ASSERT_EQ(::ftruncate(fd, 0), 0);
    ASSERT_EQ(::pwrite(fd, bad.data(), bad.size(), 0), static_cast<ssize_t>(bad.size()));
    auto cache = DiskCache::open(options);
    ASSERT_TRUE(cache.ok()) << "seed " << seed;
    (*cache)->check_integrity();
    for (size_t i = 0; i < kBlocks; ++i) {
      std::vector<std::byte> block(kBlockBytes);
      const bool found = (*cache)->load(keys[i], block);
      if (found) ASSERT_EQ(block, block_of(i)) << "seed " << seed;
      ++(found ? n_hits : n_misses);
      (*cache)->check_integrity();
    }
    ASSERT_TRUE((*cache)->save(keys[0], block_of(0)));
    (*cache)->check_integrity();
  }
  std::fclose(file);
  if (n < 1000) return;
  EXPECT_GT(n_hits, n);  // most changes hit one block of four
  EXPECT_GT(n_misses, n / 2);
}

}  // namespace
}  // namespace maru::engine
