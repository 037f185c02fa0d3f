// link/frame.h - length-prefixed frames on a connected stream socket.
//
// Both ends of the engine protocol use it. It must not know what a frame says.
// Source: docs/formats/engine-protocol.md, "Frames".
// Threads: one reader and one writer per descriptor at a time.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace maru::link {

inline constexpr size_t kFrameBytesMin = 2;
inline constexpr size_t kFrameBytesMax = 64 << 20;

// Reads one frame into `payload`; false where the peer closed between two frames.
// Errors: kCorrupt for a length out of range or an end inside a frame; kIo.
Result<bool> read_frame(int fd, std::string& payload);

// Errors: kResourceExhausted above kFrameBytesMax (nothing was written); kUnavailable where the
// peer is gone; kIo. After the last two the stream may hold half a frame and must be closed.
Result<void> write_frame(int fd, std::string_view payload);

}  // namespace maru::link
