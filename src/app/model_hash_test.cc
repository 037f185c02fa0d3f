#include "app/model_hash.h"

#include <gtest/gtest.h>

#include "base/files.h"

namespace maru::app {
namespace {

class ModelHashTest : public ::testing::Test {
 protected:
  ModelHashTest() {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(folder_);
  }
  ~ModelHashTest() override { std::filesystem::remove_all(folder_); }

  hub::StoredModel stored(const std::string& content) {
    hub::StoredModel model;
    model.path = folder_ / "m.gguf";
    model.parts = {model.path};
    EXPECT_TRUE(write_file_atomic(model.path, content).ok());
    model.bytes = content.size();
    model.modified_at = 100;
    return model;
  }

  std::filesystem::path folder_;
};

// Of FIPS 180-4's examples.
constexpr const char* kOfAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr const char* kOfNothing =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

TEST_F(ModelHashTest, OfEveryPart) {
  hub::StoredModel model = stored("abc");
  model.parts.push_back(folder_ / "m2.gguf");
  ASSERT_TRUE(write_file_atomic(model.parts[1], "").ok());
  EXPECT_EQ(hash_model(model).value(), (std::vector<std::string>{kOfAbc, kOfNothing}));
  model.parts.push_back(folder_ / "gone.gguf");
  EXPECT_FALSE(hash_model(model).ok());
}

TEST_F(ModelHashTest, AFileThatNobodyDescribedIsReadOnce) {
  ModelHashes hashes;
  hub::StoredModel model = stored("abc");
  EXPECT_EQ(hashes.of(model).value(), std::vector<std::string>{kOfAbc});
  std::filesystem::remove(model.path);
  EXPECT_EQ(hashes.of(model).value(), std::vector<std::string>{kOfAbc});
  model = stored("");
  EXPECT_EQ(hashes.of(model).value(), std::vector<std::string>{kOfNothing});
}

TEST_F(ModelHashTest, WhatTheStoreSaysHoldsForAFileThatWasNotChangedSince) {
  ModelHashes hashes;
  hub::StoredModel model = stored("abc");
  model.sha256 = {"of the download"};
  model.pulled_at = model.modified_at;
  EXPECT_EQ(hashes.of(model).value(), model.sha256);
  ++model.modified_at;
  EXPECT_EQ(hashes.of(model).value(), std::vector<std::string>{kOfAbc});
}

}  // namespace
}  // namespace maru::app
