#include "app/kv_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/files.h"

namespace maru::app {
namespace {

namespace fs = std::filesystem;

class KvFileTest : public testing::Test {
 protected:
  KvFileTest() {
    char pattern[] = "/tmp/maru-kv-XXXXXX";
    home_ = ::mkdtemp(pattern);
    model_ = home_ / "model-1b.gguf";
    CHECK(write_file_atomic(model_, "weights").ok());
  }
  ~KvFileTest() override { fs::remove_all(home_); }

  std::string secret(size_t n_ctx = 0) {
    auto file = KvFile::open(home_, model_, n_ctx);
    EXPECT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(file->secret().size(), 32u);
    return file->secret();
  }
  mode_t mode(const fs::path& path) {
    struct stat info{};
    EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 0777;
  }

  fs::path home_;
  fs::path model_;
};

TEST_F(KvFileTest, TheSecretChangesWithWhatABlockDependsOn) {
  const std::string first = secret();
  EXPECT_EQ(secret(), first);
  EXPECT_NE(secret(4096), first);
  ASSERT_TRUE(write_file_atomic(model_, "weights").ok());  // another file of the same bytes
  EXPECT_NE(secret(), first);
}

TEST_F(KvFileTest, ALostOrDamagedSecretIsMadeAnew) {
  const std::string first = secret();
  fs::resize_file(home_ / "kv/secret", 5);
  const std::string second = secret();
  EXPECT_NE(second, first);
  EXPECT_EQ(secret(), second);
}

TEST_F(KvFileTest, NobodyElseReadsIt) {
  const auto file = KvFile::open(home_, model_, 0);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(mode(home_ / "kv"), 0700u);
  EXPECT_EQ(mode(home_ / "kv/secret"), 0600u);
  EXPECT_EQ(mode(KvFile::path_for(home_, model_)), 0600u);
}

TEST_F(KvFileTest, TheDiskIsNotFilled) {
  const auto file = KvFile::open(home_, model_, 0);
  ASSERT_TRUE(file.ok());
  const uint64_t n_free = fs::space(home_).available;
  EXPECT_EQ(file->bytes_max(1), n_free > kDiskLeftMin ? 1u : 0u);
  EXPECT_LT(file->bytes_max(UINT64_MAX), std::max(n_free, uint64_t{1}));
}

TEST_F(KvFileTest, OneServerAtATime) {
  const auto file = KvFile::open(home_, model_, 0);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(KvFile::open(home_, model_, 0).error().code, ErrorCode::kUnavailable);
}

TEST_F(KvFileTest, ALinkInItsPlaceIsNotFollowed) {
  fs::create_directory(home_ / "kv");
  fs::create_symlink(model_, KvFile::path_for(home_, model_));
  EXPECT_EQ(KvFile::open(home_, model_, 0).error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace maru::app
