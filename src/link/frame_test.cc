#include "link/frame.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "base/rng.h"

namespace maru::link {
namespace {

class SocketPair {
 public:
  SocketPair() { CHECK(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds_.data()) == 0); }
  ~SocketPair() {
    close_writer();
    ::close(fds_[1]);
  }
  int writer() const { return fds_[0]; }
  int reader() const { return fds_[1]; }
  void close_writer() {
    if (fds_[0] >= 0) ::close(fds_[0]);
    fds_[0] = -1;
  }
  void send_raw(std::string_view bytes) const {
    CHECK(::send(fds_[0], bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  }

 private:
  std::array<int, 2> fds_{};
};

std::string header(uint32_t n) {
  return {static_cast<char>(n), static_cast<char>(n >> 8), static_cast<char>(n >> 16),
          static_cast<char>(n >> 24)};
}

TEST(Frame, GoesThroughInAnySize) {
  SocketPair pair;
  const std::string sizes_seen[] = {"{}", std::string(100'000, 'x'), std::string(3 << 20, 'y')};
  std::thread writer([&] {
    for (const std::string& payload : sizes_seen) {
      EXPECT_TRUE(write_frame(pair.writer(), payload).ok());
    }
    pair.close_writer();
  });
  std::string payload;
  for (const std::string& sent : sizes_seen) {
    EXPECT_TRUE(read_frame(pair.reader(), payload).value());
    EXPECT_TRUE(payload == sent);
  }
  EXPECT_FALSE(read_frame(pair.reader(), payload).value());
  writer.join();
}

TEST(Frame, RefusesLengthsOutOfRange) {
  for (const uint32_t n : {0u, 1u, static_cast<uint32_t>(kFrameBytesMax) + 1, 0xFFFFFFFFu}) {
    SocketPair pair;
    pair.send_raw(header(n) + "{}");
    std::string payload;
    EXPECT_EQ(read_frame(pair.reader(), payload).error().code, ErrorCode::kCorrupt) << n;
  }
}

TEST(Frame, AnEndInsideAFrameIsCorrupt) {
  for (const std::string& part : {header(5).substr(0, 2), header(5), header(5) + "{\"a"}) {
    SocketPair pair;
    pair.send_raw(part);
    pair.close_writer();
    std::string payload;
    EXPECT_EQ(read_frame(pair.reader(), payload).error().code, ErrorCode::kCorrupt);
  }
}

TEST(Frame, AHugeClaimedLengthClaimsNoMemory) {
  SocketPair pair;
  pair.send_raw(header(kFrameBytesMax) + "{}");
  pair.close_writer();
  std::string payload;
  EXPECT_FALSE(read_frame(pair.reader(), payload).ok());
  EXPECT_LE(payload.capacity(), size_t{4} << 20);
}

TEST(Frame, AnOversizedPayloadIsRefusedBeforeAnythingIsWritten) {
  SocketPair pair;
  const std::string big(kFrameBytesMax + 1, ' ');
  EXPECT_EQ(write_frame(pair.writer(), big).error().code, ErrorCode::kResourceExhausted);
  ASSERT_TRUE(write_frame(pair.writer(), "{}").ok());
  std::string payload;
  EXPECT_TRUE(read_frame(pair.reader(), payload).value());
  EXPECT_EQ(payload, "{}");
}

TEST(Frame, WritingToAGoneReaderIsUnavailable) {
  SocketPair pair;
  ::shutdown(pair.reader(), SHUT_RDWR);
  EXPECT_EQ(write_frame(pair.writer(), "{}").error().code, ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace maru::link
