#include "link/frame.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

namespace maru::link {
namespace {

constexpr size_t kHeaderBytes = 4;

// The payload grows by this much at a time, so that a length alone cannot claim memory.
constexpr size_t kReadBytes = 1 << 20;

// A frame up to this size is copied behind its length, so that a token costs one system call.
constexpr size_t kOneCallBytes = 16 << 10;

Error io_error(const char* what) {
  return Error::io(fmt::format("engine socket: {} failed: {}", what, std::strerror(errno)));
}

// Fills the range, or as much as there is before the end of the stream.
Result<size_t> read_up_to(int fd, char* out, size_t n_bytes) {
  size_t n_read = 0;
  while (n_read < n_bytes) {
    const ssize_t n = ::recv(fd, out + n_read, n_bytes - n_read, 0);
    if (n == 0) break;
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == ECONNRESET) break;  // a peer that died with unread bytes is gone all the same
      return io_error("reading");
    }
    n_read += static_cast<size_t>(n);
  }
  return n_read;
}

Result<void> write_all(int fd, const char* data, size_t n_bytes) {
  while (n_bytes > 0) {
    const ssize_t n = ::send(fd, data, n_bytes, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EPIPE || errno == ECONNRESET) return Error::unavailable("the engine is gone");
      return io_error("writing");
    }
    data += n;
    n_bytes -= static_cast<size_t>(n);
  }
  return {};
}

}  // namespace

Result<bool> read_frame(int fd, std::string& payload) {
  std::array<unsigned char, kHeaderBytes> header{};
  MARU_TRY(n_header, read_up_to(fd, reinterpret_cast<char*>(header.data()), kHeaderBytes));
  if (n_header == 0) return false;
  if (n_header < kHeaderBytes) return Error::corrupt("the stream ended inside a frame's length");
  const size_t n_bytes = header[0] | static_cast<size_t>(header[1]) << 8 |
                         static_cast<size_t>(header[2]) << 16 |
                         static_cast<size_t>(header[3]) << 24;
  if (n_bytes < kFrameBytesMin || n_bytes > kFrameBytesMax) {
    return Error::corrupt(fmt::format("a frame of {} bytes; accepted are {} to {}", n_bytes,
                                      kFrameBytesMin, kFrameBytesMax));
  }
  payload.clear();
  while (payload.size() < n_bytes) {
    const size_t begin = payload.size();
    const size_t n_wanted = std::min(kReadBytes, n_bytes - begin);
    payload.resize(begin + n_wanted);
    MARU_TRY(n_read, read_up_to(fd, payload.data() + begin, n_wanted));
    if (n_read < n_wanted) return Error::corrupt("the stream ended inside a frame");
  }
  return true;
}

Result<void> write_frame(int fd, std::string_view payload) {
  CHECK(payload.size() >= kFrameBytesMin);
  if (payload.size() > kFrameBytesMax) {
    return Error::exhausted(
        fmt::format("a message of {} bytes is above the limit of {} between gateway and engine",
                    payload.size(), kFrameBytesMax));
  }
  const auto n = static_cast<uint32_t>(payload.size());
  const char header[kHeaderBytes] = {static_cast<char>(n), static_cast<char>(n >> 8),
                                     static_cast<char>(n >> 16), static_cast<char>(n >> 24)};
  if (payload.size() <= kOneCallBytes) {
    std::string frame;
    frame.reserve(kHeaderBytes + payload.size());
    frame.append(header, kHeaderBytes).append(payload);
    return write_all(fd, frame.data(), frame.size());
  }
  MARU_TRY_VOID(write_all(fd, header, kHeaderBytes));
  return write_all(fd, payload.data(), payload.size());
}

}  // namespace maru::link
