#include "hub/download.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "base/files.h"
#include "base/json.h"
#include "hub/disk.h"

namespace maru::hub {
namespace {

namespace fs = std::filesystem;

constexpr auto kProgressPeriod = std::chrono::milliseconds(200);
constexpr size_t kStateTextBytesMax = 8 << 20;

bool is_busy(int status) {
  return status == 408 || status == 429 || (status >= 500 && status < 600);
}

std::optional<uint64_t> parse_number(std::string_view text) {
  uint64_t value = 0;
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || at != text.data() + text.size()) return std::nullopt;
  return value;
}

// "bytes FIRST-LAST/TOTAL"
struct ContentRange {
  uint64_t first = 0;
  uint64_t total = 0;
};
std::optional<ContentRange> content_range(const HttpResponse& response) {
  std::string_view text = response.header("content-range");
  constexpr std::string_view kUnit = "bytes ";
  if (!text.starts_with(kUnit)) return std::nullopt;
  text.remove_prefix(kUnit.size());
  const size_t dash = text.find('-');
  const size_t slash = text.find('/');
  if (dash == text.npos || slash == text.npos || dash > slash) return std::nullopt;
  const auto first = parse_number(text.substr(0, dash));
  const auto total = parse_number(text.substr(slash + 1));
  if (!first || !total) return std::nullopt;
  return ContentRange{*first, *total};
}

// Repeats `attempt` while the network fails or the server is busy. `progress` counts what came so
// far: attempts that brought something are not counted as failed.
Result<HttpResponse> retrying(const std::string& what, const FetchContext& context,
                              const std::stop_token& stop,
                              const std::function<Result<HttpResponse>()>& attempt,
                              const std::function<uint64_t()>& progress) {
  for (size_t n_failed = 0;;) {
    const uint64_t before = progress();
    Result<HttpResponse> outcome = attempt();
    if (stop.stop_requested()) return cancelled();
    if (outcome.ok() && !is_busy(outcome->status)) return outcome;
    if (!outcome.ok() && outcome.error().code != ErrorCode::kUnavailable) return outcome;
    if (progress() > before) n_failed = 0;
    ++n_failed;
    uint64_t seconds = retry_delay_seconds(n_failed);
    if (outcome.ok()) {
      const Error busy = status_error(*outcome, what, false);
      const auto asked = retry_after_seconds(*outcome, context.clock.unix_seconds());
      if (n_failed >= context.attempts_max) return busy;
      if (asked && *asked > kRetryAfterSecondsMax) {
        return Error::unavailable(
            fmt::format("{}; it asks to wait {} seconds: pull again then", busy.message, *asked));
      }
      seconds = std::max(seconds, asked.value_or(0));
    } else if (n_failed >= context.attempts_max) {
      return Error::unavailable(
          fmt::format("fetching {} failed ({}): check the network and pull again; what is already "
                      "there is kept",
                      what, outcome.error().message));
    }
    if (seconds > 0) context.wait(seconds, stop);
    if (stop.stop_requested()) return cancelled();
  }
}

struct Segment {
  size_t file = 0;
  uint64_t begin = 0;
  uint64_t end = 0;
  std::atomic<uint64_t> n_done{0};  // bytes of it on disk, from its beginning
  uint64_t n_saved = 0;             // as the state on disk says; of the fetching thread
};

// What a probe of one file told.
struct Remote {
  std::string etag;  // strong, else empty
  bool ranges = false;
};

class Download {
 public:
  Download(std::vector<RemoteFile>& files, const fs::path& folder, const FetchContext& context,
           const std::function<void(uint64_t, uint64_t)>& on_progress)
      : files_(files), folder_(folder), context_(context), on_progress_(on_progress) {}

  Result<void> run() {
    for (RemoteFile& file : files_) MARU_TRY_VOID(probe(file));
    make_segments();
    MARU_TRY_VOID(open_files());
    MARU_TRY_VOID(check_free_space(folder_, total_ - n_done(), files_.front().name));
    return fetch_all();
  }

 private:
  // One byte of the file: its size, whether ranges work, and whether we may have it at all.
  Result<void> probe(RemoteFile& file) {
    const HttpRequest request = {
        .url = file.url, .headers = {{"Range", "bytes=0-0"}}, .bearer = file.bearer};
    HttpSink sink;
    sink.on_head = [](const HttpResponse& head) { return head.status == 206; };
    sink.on_body = [](std::span<const std::byte>) { return true; };
    MARU_TRY(response, retrying(
                           file.name, context_, context_.stop,
                           [&] { return http_get(context_.http, request, sink, context_.stop); },
                           [] { return uint64_t{0}; }));
    std::optional<uint64_t> size;
    Remote remote;
    if (response.status == 206) {
      if (const auto range = content_range(response)) size = range->total;
      remote.ranges = true;
    } else if (response.status == 200) {
      size = parse_number(response.header("content-length"));
    } else {
      return status_error(response, file.name, !file.bearer.empty());
    }
    if (!size) {
      return Error::unsupported(
          fmt::format("the server does not say how large '{}' is, so it cannot be fetched safely: "
                      "download it yourself and pull the file",
                      file.name));
    }
    if (file.bytes == 0) file.bytes = *size;
    if (*size != file.bytes || *size == 0 || *size > kFileBytesMax) {
      return Error::corrupt(fmt::format("'{}' has {} bytes on the server, expected {}", file.name,
                                        *size, file.bytes));
    }
    std::string linked(response.header("x-linked-etag"));
    std::erase(linked, '"');
    const bool is_hash =
        linked.size() == 64 && linked.find_first_not_of("0123456789abcdef") == std::string::npos;
    if (file.sha256.empty() && is_hash) file.sha256 = linked;
    remote.etag = response.header("etag");
    if (!remote.etag.starts_with('"')) remote.etag.clear();
    remotes_.push_back(std::move(remote));
    total_ += file.bytes;
    return {};
  }

  void make_segments() {
    for (size_t i = 0; i < files_.size(); ++i) {
      const uint64_t step = remotes_[i].ranges ? kSegmentBytes : files_[i].bytes;
      for (uint64_t begin = 0; begin < files_[i].bytes; begin += step) {
        auto segment = std::make_unique<Segment>();
        segment->file = i;
        segment->begin = begin;
        segment->end = std::min(begin + step, files_[i].bytes);
        segments_.push_back(std::move(segment));
      }
    }
  }

  // What must be the same for bytes on disk to belong to what the server has now; empty where
  // nothing tells.
  std::string identity() const {
    std::string text;
    for (size_t i = 0; i < files_.size(); ++i) {
      const std::string& mark = files_[i].sha256.empty() ? remotes_[i].etag : files_[i].sha256;
      if (mark.empty() || !remotes_[i].ranges) return {};
      text += fmt::format("{} {}\n", files_[i].bytes, mark);
    }
    return text;
  }

  // A state that does not fit counts as none.
  void load_state() {
    const Result<std::string> text = read_file(folder_ / "state.json", kStateTextBytesMax);
    if (!text.ok()) return;
    const Result<Json> json = parse_json(*text);
    if (!json.ok() || !json->is_object() || identity().empty()) return;
    const Json done = json->value("done", Json());
    if (json->value("identity", Json()) != identity() || !done.is_array()) return;
    if (done.size() != segments_.size()) return;
    for (size_t i = 0; i < segments_.size(); ++i) {
      Segment& segment = *segments_[i];
      struct stat info{};
      const bool known = ::fstat(descriptors_[segment.file].get(), &info) == 0;
      const uint64_t n = done[i].is_number_unsigned() ? done[i].get<uint64_t>() : 0;
      const bool fits = known && n <= segment.end - segment.begin &&
                        segment.begin + n <= static_cast<uint64_t>(info.st_size);
      segment.n_done = fits ? n : 0;
      segment.n_saved = segment.n_done;
    }
  }

  Result<void> save_state() {
    const std::scoped_lock lock(state_mutex_);
    Json done = Json::array();
    for (const auto& segment : segments_) done.push_back(segment->n_done.load());
    for (const Descriptor& file : descriptors_) {
      if (::fdatasync(file.get()) != 0) return write_error(folder_);
    }
    return write_file_atomic(folder_ / "state.json",
                             dump_json({{"identity", identity()}, {"done", done}}));
  }

  Result<void> open_files() {
    for (size_t i = 0; i < files_.size(); ++i) {
      const fs::path path = folder_ / fmt::format("file-{}", i);
      descriptors_.emplace_back(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
      if (descriptors_.back().get() < 0) return write_error(path);
    }
    load_state();
    return {};
  }

  uint64_t n_done() const {
    uint64_t n = 0;
    for (const auto& segment : segments_) n += segment->n_done;
    return n;
  }

  Result<void> fetch_all() {
    const std::stop_callback relay(context_.stop, [&] { stop_.request_stop(); });
    {
      std::vector<std::jthread> threads;
      n_working_ = std::min(kParallelConnections, segments_.size());
      for (size_t i = 0, n = n_working_; i < n; ++i) {
        threads.emplace_back([this] { work(); });
      }
      std::unique_lock lock(mutex_);
      while (n_working_ > 0) {
        changed_.wait_for(lock, kProgressPeriod, [&] { return n_working_ == 0; });
        lock.unlock();
        if (on_progress_) on_progress_(n_done(), total_);
        lock.lock();
      }
    }
    // The threads have ended. What they brought is kept, whatever the outcome.
    const Result<void> saved = save_state();
    if (failure_) return *failure_;
    if (context_.stop.stop_requested()) return cancelled();
    return saved;
  }

  void work() {
    while (!stop_.stop_requested()) {
      const size_t i = next_++;
      if (i >= segments_.size()) break;
      const Result<void> fetched = fetch(*segments_[i]);
      if (fetched.ok()) continue;
      const std::scoped_lock lock(mutex_);
      if (!failure_) failure_ = fetched.error();  // the first: the others were stopped by it
      stop_.request_stop();
    }
    const std::scoped_lock lock(mutex_);
    --n_working_;
    changed_.notify_all();
  }

  Result<void> fetch(Segment& segment) {
    const RemoteFile& file = files_[segment.file];
    if (segment.n_done == segment.end - segment.begin) return {};
    const auto attempt = [&]() -> Result<HttpResponse> { return fetch_once(segment); };
    const auto progress = [&] { return segment.n_done.load(); };
    MARU_TRY(response, retrying(file.name, context_, stop_.get_token(), attempt, progress));
    if (response.status == 206 || response.status == 200) return {};
    return status_error(response, file.name, !file.bearer.empty());
  }

  Result<HttpResponse> fetch_once(Segment& segment) {
    const RemoteFile& file = files_[segment.file];
    const Remote& remote = remotes_[segment.file];
    HttpRequest request = {.url = file.url, .headers = {}, .bearer = file.bearer};
    if (remote.ranges) {
      const uint64_t first = segment.begin + segment.n_done;
      request.headers.emplace_back("Range", fmt::format("bytes={}-{}", first, segment.end - 1));
      // Where a hash will tell, mirrors behind one address may name their copies differently.
      if (file.sha256.empty() && !remote.etag.empty()) {
        request.headers.emplace_back("If-Range", remote.etag);
      }
    } else {
      segment.n_done = 0;
    }
    std::optional<Error> failure;
    HttpSink sink;
    sink.on_head = [&](const HttpResponse& head) {
      if (head.status != 200 && head.status != 206) return false;
      failure = check_head(head, segment);
      return !failure;
    };
    sink.on_body = [&](std::span<const std::byte> bytes) {
      const Result<void> written = write(segment, bytes);
      if (!written.ok()) failure = written.error();
      return written.ok();
    };
    MARU_TRY(response, http_get(context_.http, request, sink, stop_.get_token()));
    if (failure) return *failure;
    const bool success = response.status == 200 || response.status == 206;
    if (success && segment.n_done != segment.end - segment.begin) {
      return Error::unavailable("the connection ended early");
    }
    return response;
  }

  // What is wrong with the answer to a request for the rest of a segment.
  std::optional<Error> check_head(const HttpResponse& head, const Segment& segment) const {
    const RemoteFile& file = files_[segment.file];
    bool same = true;
    if (head.status == 206) {
      const auto range = content_range(head);
      same = range && range->first == segment.begin + segment.n_done && range->total == file.bytes;
    } else {
      const auto size = parse_number(head.header("content-length"));
      same = !remotes_[segment.file].ranges && size == file.bytes;
    }
    if (same) return std::nullopt;
    return Error{ErrorCode::kCorrupt,
                 fmt::format("'{}' changed on the server while it was being fetched: pull again to "
                             "fetch what is there now",
                             file.name),
                 {}};
  }

  Result<void> write(Segment& segment, std::span<const std::byte> bytes) {
    if (bytes.size() > segment.end - segment.begin - segment.n_done) {
      return Error::corrupt(fmt::format("the server sends more of '{}' than it was asked for",
                                        files_[segment.file].name));
    }
    while (!bytes.empty()) {
      const ssize_t n = ::pwrite(descriptors_[segment.file].get(), bytes.data(), bytes.size(),
                                 static_cast<off_t>(segment.begin + segment.n_done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return write_error(folder_);
      segment.n_done += static_cast<uint64_t>(n);
      bytes = bytes.subspan(static_cast<size_t>(n));
    }
    if (segment.n_done - segment.n_saved < kStateEveryBytes) return {};
    segment.n_saved = segment.n_done;
    return save_state();
  }

  std::vector<RemoteFile>& files_;
  const fs::path folder_;
  const FetchContext& context_;
  const std::function<void(uint64_t, uint64_t)>& on_progress_;
  std::vector<Remote> remotes_;
  std::vector<std::unique_ptr<Segment>> segments_;
  std::vector<Descriptor> descriptors_;
  uint64_t total_ = 0;
  std::atomic<size_t> next_{0};
  std::stop_source stop_;
  std::mutex state_mutex_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  size_t n_working_ = 0;
  std::optional<Error> failure_;
};

}  // namespace

Wait real_wait() {
  return [](uint64_t seconds, const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any changed;
    std::unique_lock lock(mutex);
    changed.wait_for(lock, stop, std::chrono::seconds(seconds), [] { return false; });
  };
}

uint64_t retry_delay_seconds(size_t n_failed) {
  if (n_failed <= 1) return 0;
  return uint64_t{1} << std::min<size_t>(n_failed - 2, 5);
}

Error status_error(const HttpResponse& response, const std::string& what, bool had_token) {
  constexpr std::string_view kHub = "hf.co/";
  const int status = response.status;
  if (is_busy(status)) {
    return Error::unavailable(
        status == 429
            ? fmt::format("the server has had too many requests for {} from this address (429)",
                          what)
            : fmt::format("the server cannot give {} now ({})", what, status));
  }
  if (what.starts_with(kHub) && (status == 401 || status == 403)) {
    const size_t org_end = what.find('/', kHub.size());
    const size_t end = what.find_first_of("/@:", org_end == what.npos ? kHub.size() : org_end + 1);
    const std::string repo = what.substr(kHub.size(), end == what.npos ? end : end - kHub.size());
    if (status == 401 && had_token) {
      return Error::not_found(
          fmt::format("the hub does not accept the token in HF_TOKEN for {}: make one that may "
                      "read at https://huggingface.co/settings/tokens",
                      repo));
    }
    if (had_token) {
      return Error::not_found(
          fmt::format("the account of your HF_TOKEN has no access to {} yet: accept its terms or "
                      "ask at https://huggingface.co/{}, then pull again",
                      repo, repo));
    }
    return Error::not_found(
        fmt::format("{} is gated, private or does not exist: if it exists, accept its terms at "
                    "https://huggingface.co/{}, make a token at "
                    "https://huggingface.co/settings/tokens and pull again with HF_TOKEN set to it",
                    repo, repo));
  }
  if (status == 404 || status == 410) {
    return Error::not_found(fmt::format("the server has no {} ({})", what, status));
  }
  return Error::not_found(fmt::format("the server does not give {} ({})", what, status));
}

Result<HttpText> get_text_retrying(const HttpRequest& request, const std::string& what,
                                   const FetchContext& context) {
  std::string body;
  const auto attempt = [&]() -> Result<HttpResponse> {
    MARU_TRY(text, http_get_text(context.http, request, context.stop));
    body = std::move(text.body);
    return std::move(text.response);
  };
  MARU_TRY(response, retrying(what, context, context.stop, attempt, [] { return uint64_t{0}; }));
  return HttpText{std::move(response), std::move(body)};
}

Result<void> download(std::vector<RemoteFile>& files, const fs::path& folder,
                      const FetchContext& context,
                      const std::function<void(uint64_t, uint64_t)>& on_progress) {
  CHECK(!files.empty());
  return Download(files, folder, context, on_progress).run();
}

}  // namespace maru::hub
