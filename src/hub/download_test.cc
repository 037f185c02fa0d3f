#include "hub/download.h"

#include <gmock/gmock.h>

#include "base/files.h"
#include "hub/test_network.h"
#include "hub/test_wheels.h"

namespace maru::hub {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class DownloadTest : public testing::Test {
 protected:
  DownloadTest() {
    content_.resize(100'000);
    for (size_t i = 0; i < content_.size(); ++i) content_[i] = static_cast<char>(i * 7 + i / 251);
    network_.answer = [this](const HttpRequest& request) {
      return serve_ranges(request, content_, "\"one\"");
    };
  }
  Result<void> fetch() {
    const FetchContext context{
        .http = network_,
        .clock = clock_,
        .wait =
            [this](uint64_t seconds, const std::stop_token&) {
              waits_.push_back(seconds);
              clock_.advance_ns(static_cast<int64_t>(seconds) * 1'000'000'000);
            },
        .stop = stop_.get_token()};
    files_ = {{.url = "https://example.org/a.gguf", .name = "a.gguf", .sha256 = sha256_}};
    return download(files_, folder_.path(), context, {});
  }
  std::string fetched() { return read_file(folder_.path() / "file-0", 1 << 20).value(); }
  std::string range(size_t i) {
    const HttpRequest request = network_.requests().at(i);
    for (const auto& [name, value] : request.headers) {
      if (name == "Range") return value;
    }
    return "";
  }
  // The first n answers after the probe are `bad`.
  void misbehave(size_t n, const FakeAnswer& bad) {
    network_.answer = [this, n, bad, seen = size_t{0}](const HttpRequest& request) mutable {
      return seen++ >= 1 && seen <= n + 1 ? bad : serve_ranges(request, content_, "\"one\"");
    };
  }

  TestFolder folder_;
  FakeNetwork network_;
  ManualClock clock_;
  std::stop_source stop_;
  std::string content_;
  std::string sha256_;
  std::vector<RemoteFile> files_;
  std::vector<uint64_t> waits_;
};

TEST_F(DownloadTest, FetchesAndLearnsTheSize) {
  ASSERT_TRUE(fetch().ok());
  EXPECT_EQ(fetched(), content_);
  EXPECT_EQ(files_[0].bytes, content_.size());
  EXPECT_EQ(range(0), "bytes=0-0");
  EXPECT_EQ(range(1), "bytes=0-99999");
}

TEST_F(DownloadTest, WithoutRangesItTakesTheWhole) {
  network_.answer = [this](const HttpRequest&) {
    return FakeAnswer{.headers = {{"content-length", std::to_string(content_.size())}},
                      .body = content_};
  };
  ASSERT_TRUE(fetch().ok());
  EXPECT_EQ(fetched(), content_);
}

TEST_F(DownloadTest, ACutGoesOnAtOnceWhereItWas) {
  network_.answer = [this](const HttpRequest& request) {
    FakeAnswer answer = serve_ranges(request, content_, "\"one\"");
    if (answer.body.size() > 30'000) {
      answer.body.resize(30'000);
      answer.cut = true;
    }
    return answer;
  };
  ASSERT_TRUE(fetch().ok());
  EXPECT_EQ(fetched(), content_);
  EXPECT_EQ(range(2), "bytes=30000-99999");
  EXPECT_EQ(range(4), "bytes=90000-99999");
  EXPECT_TRUE(waits_.empty());
}

TEST_F(DownloadTest, ASilentEarlyEndCountsAsACut) {
  network_.answer = [this](const HttpRequest& request) {
    FakeAnswer answer = serve_ranges(request, content_, "\"one\"");
    answer.body.resize(std::min<size_t>(answer.body.size(), 60'000));
    return answer;
  };
  ASSERT_TRUE(fetch().ok());
  EXPECT_EQ(fetched(), content_);
}

TEST_F(DownloadTest, WaitsLongerEachTimeAndThenSaysSo) {
  misbehave(100, {.unreachable = true});
  const auto failed = fetch();
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(failed.error().message, HasSubstr("check the network"));
  EXPECT_THAT(waits_, ElementsAre(1, 2, 4, 8));
}

TEST_F(DownloadTest, WaitsAsLongAsABusyServerAsks) {
  misbehave(2, {.status = 429, .headers = {{"retry-after", "17"}}});
  ASSERT_TRUE(fetch().ok());
  EXPECT_THAT(waits_, ElementsAre(17, 17));
  EXPECT_EQ(clock_.unix_seconds(), 34);
}

TEST_F(DownloadTest, DoesNotWaitForHours) {
  misbehave(1, {.status = 503, .headers = {{"retry-after", "7200"}}});
  const auto failed = fetch();
  ASSERT_FALSE(failed.ok());
  EXPECT_THAT(failed.error().message, HasSubstr("7200 seconds"));
  EXPECT_TRUE(waits_.empty());
}

TEST_F(DownloadTest, ResumesOnlyWhatHasTheSameMark) {
  const auto cut_after = [&](size_t n) {
    network_.answer = [this, n, seen = 0](const HttpRequest& request) mutable {
      FakeAnswer answer = serve_ranges(request, content_, "\"one\"");
      if (++seen == 2) {
        answer.body.resize(n);
        answer.cut = true;
      }
      if (seen > 2) answer = {.status = 404};
      return answer;
    };
  };
  cut_after(25'000);
  ASSERT_FALSE(fetch().ok());
  size_t n_before = network_.requests().size();
  network_.answer = [this](const HttpRequest& request) {
    return serve_ranges(request, content_, "\"one\"");
  };
  ASSERT_TRUE(fetch().ok());
  EXPECT_EQ(range(n_before + 1), "bytes=25000-99999");
  EXPECT_EQ(fetched(), content_);

  fs::remove_all(folder_.path() / "state.json");
  fs::remove_all(folder_.path() / "file-0");
  cut_after(25'000);
  ASSERT_FALSE(fetch().ok());
  n_before = network_.requests().size();
  content_[0] = 'X';
  network_.answer = [this](const HttpRequest& request) {
    return serve_ranges(request, content_, "\"two\"");
  };
  ASSERT_TRUE(fetch().ok());
  EXPECT_EQ(range(n_before + 1), "bytes=0-99999");
  EXPECT_EQ(fetched(), content_);
}

TEST_F(DownloadTest, NoticesThatTheFileChangedMeanwhile) {
  network_.answer = [this, seen = 0](const HttpRequest& request) mutable {
    FakeAnswer answer = serve_ranges(request, content_, seen == 0 ? "\"one\"" : "\"two\"");
    if (++seen == 2) answer.cut = true;
    return answer;
  };
  const auto failed = fetch();
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, ErrorCode::kCorrupt);
  EXPECT_THAT(failed.error().message, HasSubstr("changed on the server"));
}

TEST_F(DownloadTest, RefusesOtherSizesThanExpectedAndAnswersThatAreTooLong) {
  network_.answer = [this](const HttpRequest& request) {
    FakeAnswer answer = serve_ranges(request, content_, "\"one\"");
    if (answer.body.size() > 1) answer.body += "more";
    return answer;
  };
  EXPECT_EQ(fetch().error().code, ErrorCode::kCorrupt);
  network_.answer = [](const HttpRequest&) { return FakeAnswer{.body = "no length"}; };
  EXPECT_EQ(fetch().error().code, ErrorCode::kUnsupported);
  network_.answer = [](const HttpRequest&) {
    return FakeAnswer{.status = 206,
                      .headers = {{"content-range", "bytes 0-0/18446744073709551615"}}};
  };
  EXPECT_EQ(fetch().error().code, ErrorCode::kCorrupt);
}

TEST_F(DownloadTest, SaysBeforeFetchingThatTheDiskIsTooSmall) {
  network_.answer = [](const HttpRequest&) {
    return FakeAnswer{.status = 206, .headers = {{"content-range", "bytes 0-0/4000000000000"}}};
  };
  const auto failed = fetch();
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(network_.requests().size(), 1u);
}

TEST_F(DownloadTest, IgnoresAStateThatDoesNotFit) {
  sha256_ = std::string(64, 'a');
  const std::string identity = "100000 " + sha256_ + "\\n";
  for (const std::string done : {"[50000]", "[100001]", "[-1]", "[1,2]", "7", "[\"x\"]"}) {
    SCOPED_TRACE(done);
    ASSERT_TRUE(write_file_atomic(folder_.path() / "state.json",
                                  R"({"identity":")" + identity + R"(","done":)" + done + "}")
                    .ok());
    ASSERT_TRUE(write_file_atomic(folder_.path() / "file-0", "short").ok());
    ASSERT_TRUE(fetch().ok());
    EXPECT_EQ(fetched(), content_);
  }
}

TEST(StatusError, SaysWhatToDoAboutAGatedModel) {
  const std::string without = status_error({.status = 401}, "hf.co/o/r/x.gguf", false).message;
  EXPECT_THAT(without, HasSubstr("https://huggingface.co/o/r,"));
  EXPECT_THAT(without, HasSubstr("HF_TOKEN"));
  EXPECT_THAT(status_error({.status = 403}, "hf.co/o/r@main", true).message,
              HasSubstr("https://huggingface.co/o/r,"));
  EXPECT_THAT(status_error({.status = 401}, "hf.co/o/r", true).message,
              HasSubstr("does not accept the token"));
}

}  // namespace
}  // namespace maru::hub
