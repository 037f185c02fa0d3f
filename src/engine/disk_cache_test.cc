#include "engine/disk_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>

#include "base/rng.h"

namespace maru::engine {
namespace {

constexpr size_t kBlockBytes = 5000;
constexpr uint64_t kSlotBytes = 4096 + 8192;

std::vector<TokenId> text(size_t n, TokenId first = 0) {
  std::vector<TokenId> tokens;
  for (size_t i = 0; i < n; ++i) tokens.push_back(first + static_cast<TokenId>(i));
  return tokens;
}

std::vector<std::byte> block_of(uint64_t seed) {
  Rng rng(seed);
  std::vector<std::byte> block(kBlockBytes);
  for (std::byte& b : block) b = static_cast<std::byte>(rng.next());
  return block;
}

class DiskCacheTest : public testing::Test {
 protected:
  ~DiskCacheTest() override { std::fclose(file_); }
  std::unique_ptr<DiskCache> open(uint64_t n_slots = 8, char secret = 's',
                                  size_t block_bytes = kBlockBytes) {
    DiskCacheOptions options{.fd = fd_, .block_bytes = block_bytes};
    options.secret.fill(static_cast<std::byte>(secret));
    options.bytes_max = 4096 + n_slots * kSlotBytes;
    auto cache = DiskCache::open(options);
    EXPECT_TRUE(cache.ok()) << cache.error().message;
    (*cache)->check_integrity();
    return std::move(cache).value();
  }
  // Whether it is there with these bytes; never with others.
  bool has(DiskCache& cache, const DiskCache::Key& key, uint64_t seed) {
    std::vector<std::byte> block(kBlockBytes);
    const bool found = cache.load(key, block);
    cache.check_integrity();
    if (found) EXPECT_EQ(block, block_of(seed));
    return found;
  }
  uint64_t size() { return static_cast<uint64_t>(::lseek(fd_, 0, SEEK_END)); }

  std::FILE* file_ = std::tmpfile();
  int fd_ = ::fileno(file_);
};

TEST_F(DiskCacheTest, KeysHoldAllTokensBeforeAndTheSalt) {
  const auto cache = open();
  const auto keys = cache->keys(text(200), "a");
  EXPECT_EQ(keys.size(), 3u);
  EXPECT_EQ(cache->keys(text(64), "a")[0], keys[0]);
  EXPECT_NE(cache->keys(text(200), "b")[2], keys[2]);
  auto other = text(200);
  other[3] = 77;
  EXPECT_NE(cache->keys(other, "a")[2], keys[2]);
  EXPECT_TRUE(cache->keys(text(63), "a").empty());
}

TEST_F(DiskCacheTest, WhatWasSavedIsThereForTheNextProcess) {
  auto cache = open();
  const auto keys = cache->keys(text(192), "a");
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(cache->save(keys[i], block_of(i)));
  EXPECT_TRUE(has(*cache, keys[1], 1));
  cache = open();
  EXPECT_EQ(cache->n_blocks(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(has(*cache, keys[i], i));
  EXPECT_FALSE(has(*cache, cache->keys(text(64), "b")[0], 0));
}

TEST_F(DiskCacheTest, AnotherSecretOrSizeBeginsAnew) {
  auto cache = open();
  const auto key = cache->keys(text(64), "a")[0];
  cache->save(key, block_of(1));
  EXPECT_EQ(open(8, 't')->n_blocks(), 0u);
  cache = open();  // it was begun anew: nothing of the old one is left
  EXPECT_EQ(cache->n_blocks(), 0u);
  cache->save(key, block_of(1));
  EXPECT_EQ(open(8, 's', kBlockBytes + 1)->n_blocks(), 0u);
}

TEST_F(DiskCacheTest, TheOneUsedLongestAgoMakesRoom) {
  auto cache = open(3);
  const auto keys = cache->keys(text(256), "a");
  for (size_t i = 0; i < 3; ++i) cache->save(keys[i], block_of(i));
  EXPECT_TRUE(has(*cache, keys[0], 0));
  cache->save(keys[3], block_of(3));
  cache = open(3);
  EXPECT_FALSE(has(*cache, keys[1], 1));
  for (const size_t i : {0, 2, 3}) EXPECT_TRUE(has(*cache, keys[i], i));
  EXPECT_LE(size(), 4096 + 3 * kSlotBytes);
  cache = open(1);  // a smaller limit
  EXPECT_LE(size(), 4096 + kSlotBytes);
  EXPECT_LE(cache->n_blocks(), 1u);
}

TEST_F(DiskCacheTest, AFileThatCannotBeWrittenIsNoHarm) {
  auto cache = open();
  const auto keys = cache->keys(text(128), "a");
  cache->save(keys[0], block_of(0));
  const int full = ::open("/dev/full", O_RDWR);
  ASSERT_GE(full, 0);
  const int kept = ::dup(fd_);
  ::dup2(full, fd_);
  EXPECT_FALSE(cache->save(keys[1], block_of(1)));
  cache->check_integrity();
  ::dup2(kept, fd_);
  EXPECT_TRUE(cache->save(keys[1], block_of(1)));
  EXPECT_TRUE(has(*cache, keys[0], 0));
  ::close(full);
  ::close(kept);
}

TEST_F(DiskCacheTest, ALimitBelowOneBlockIsAnError) {
  DiskCacheOptions options{.fd = fd_, .block_bytes = kBlockBytes, .bytes_max = 8192};
  EXPECT_EQ(DiskCache::open(options).error().code, ErrorCode::kResourceExhausted);
}

}  // namespace
}  // namespace maru::engine
