// `maru dequantize TYPE`: raw blocks on standard input, little-endian float32 on standard output.
#include <fmt/ranges.h>

#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <vector>

#include "app/session.h"
#include "app/terminal.h"
#include "tensor/dequantize.h"

namespace maru::app {
namespace {

constexpr size_t kBlocksAtOnce = 4096;

static_assert(std::endian::native == std::endian::little);

// Fills `bytes` from standard input; gives the number that there were before its end.
Result<size_t> read_full(std::vector<std::byte>& bytes) {
  size_t n = 0;
  while (n < bytes.size()) {
    const ssize_t got = ::read(STDIN_FILENO, bytes.data() + n, bytes.size() - n);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      return Error::io(fmt::format("cannot read standard input: {}", std::strerror(errno)));
    }
    if (got == 0) break;
    n += static_cast<size_t>(got);
  }
  return n;
}

int run_dequantize(const std::string& type) {
  const auto dtype = tensor::dtype_from_name(type);
  if (!dtype || !tensor::can_dequantize(*dtype)) {
    std::vector<std::string_view> known;
    for (const tensor::DTypeInfo& each : tensor::dtype_infos()) {
      if (tensor::can_dequantize(each.dtype)) known.push_back(each.name);
    }
    fail(Error::invalid(
        fmt::format("'{}' is no type of weights; accepted: {}", type, fmt::join(known, ", "))));
    return kExitUsage;
  }
  const tensor::DTypeInfo& info = tensor::dtype_info(*dtype);
  std::vector<std::byte> blocks(kBlocksAtOnce * info.block_bytes);
  std::vector<float> values(kBlocksAtOnce * info.block_elements);
  while (true) {
    const auto n_bytes = read_full(blocks);
    if (!n_bytes.ok()) return fail(n_bytes.error());
    if (*n_bytes == 0) return kExitOk;
    if (*n_bytes % info.block_bytes != 0) {
      return fail(Error::corrupt(
          fmt::format("a block of {} has {} bytes, and {} are left over at the end of the input",
                      info.name, info.block_bytes, *n_bytes % info.block_bytes)));
    }
    const size_t n_values = *n_bytes / info.block_bytes * info.block_elements;
    tensor::dequantize(*dtype, blocks.data(), n_values, values.data());
    write_out({reinterpret_cast<const char*>(values.data()), n_values * sizeof(float)});
  }
}

}  // namespace

void add_dequantize(Session& session) {
  const Command command = session.add_command(
      "dequantize", "Turn raw blocks of standard input into float32 on standard output");
  auto type = std::make_shared<std::string>();
  command.add_option("TYPE", *type, "type of the blocks, such as Q4_K").required();
  command.runs([type] { return run_dequantize(*type); });
}

}  // namespace maru::app
