// hub/download.h - files from the web into a folder: several connections, resumed where it was cut,
// patient where the server is busy.
//
// pull.h calls it with what hub_source.h resolved, or with a plain web address. A file is cut into
// segments that kParallelConnections threads fetch; FOLDER/state.json says how much of each is on
// disk, so that whatever ends the process loses kStateEveryBytes at most. What the bytes hash to is
// checked by the caller once all are there.
// Threads: download() is called from one; it starts its own and ends them.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "hub/http.h"

namespace maru::hub {

inline constexpr size_t kParallelConnections = 4;
inline constexpr uint64_t kSegmentBytes = 64 << 20;
inline constexpr uint64_t kStateEveryBytes = 16 << 20;
inline constexpr uint64_t kFileBytesMax = uint64_t{4} << 40;
// Of one request without a byte of progress in between; with the waits of retry_delay_seconds().
inline constexpr size_t kAttemptsMax = 6;
inline constexpr uint64_t kRetryAfterSecondsMax = 120;  // a server that asks for more is left alone

// Waits for so many seconds or until it is asked to stop. Tests advance a clock instead.
using Wait = std::function<void(uint64_t seconds, const std::stop_token& stop)>;
Wait real_wait();

// What every fetch is given.
struct FetchContext {
  HttpTransport& http;
  const Clock& clock;
  Wait wait;
  std::stop_token stop;
  size_t attempts_max = kAttemptsMax;
};

struct RemoteFile {
  std::string url;
  std::string bearer = {};
  std::string name = {};    // for people
  uint64_t bytes = 0;       // 0: the server says
  std::string sha256 = {};  // empty: nobody said
};

// Before the attempt after the n-th that brought nothing: 0, 1, 2, 4, 8 ... seconds.
uint64_t retry_delay_seconds(size_t n_failed);

// What an answer that is no success means to a person. `what` names what was asked for.
// Errors: kUnavailable where trying again later can help (408, 429, 5xx), kNotFound else.
Error status_error(const HttpResponse& response, const std::string& what, bool had_token);

// http_get_text() with retries; gives the answer whatever its status, unless it is one to retry.
Result<HttpText> get_text_retrying(const HttpRequest& request, const std::string& what,
                                   const FetchContext& context);

// Fetches files[i] to FOLDER/file-i, all whole. Fills in bytes and sha256 of `files` where only the
// server knew them. on_progress is told bytes done of all, and the total, about 5 times a second.
// Errors: kUnavailable (network, or the file changed meanwhile), kNotFound, kResourceExhausted
// (disk, before anything is fetched), kUnsupported (no size), kCorrupt (another size), kCancelled,
// kIo.
Result<void> download(std::vector<RemoteFile>& files, const std::filesystem::path& folder,
                      const FetchContext& context,
                      const std::function<void(uint64_t done, uint64_t total)>& on_progress);

}  // namespace maru::hub
