#include "link/host_io.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <string>

#include "base/log.h"
#include "link/frame.h"

namespace maru::link {

void HostWriter::write(RequestId id, const EventBody& event) {
  const std::string payload = encode_event(id, event);
  const std::lock_guard lock(mutex_);
  if (broken_) return;
  auto written = write_frame(fd_, payload);
  if (!written.ok() && written.error().code == ErrorCode::kResourceExhausted) {
    written = write_frame(fd_, encode_event(id, Failed{written.error()}));
  }
  if (written.ok()) return;
  broken_ = true;
  ::shutdown(fd_, SHUT_RDWR);
}

std::optional<Incoming> next_command(int fd, HostWriter& writer) {
  std::string payload;
  while (true) {
    const auto got_frame = read_frame(fd, payload);
    if (got_frame.ok() && !*got_frame) return std::nullopt;
    auto envelope = got_frame.ok() ? open_frame(payload) : Result<Envelope>(got_frame.error());
    if (!envelope.ok()) {
      log_error("the client broke the protocol: {}", envelope.error().message);
      return std::nullopt;
    }
    auto command = decode_command(*envelope);
    if (command.ok()) return Incoming{envelope->id, std::move(command).value()};
    if (command.error().code == ErrorCode::kCorrupt) {
      log_error("the client broke the protocol: {}", command.error().message);
      return std::nullopt;
    }
    writer.write(envelope->id, Failed{command.error()});
  }
}

std::optional<IncomingLoad> accept_load(int fd, HostWriter& writer) {
  auto greeting = next_command(fd, writer);
  if (!greeting) return std::nullopt;
  const auto* hello = std::get_if<Hello>(&greeting->command);
  if (hello == nullptr || hello->version != kProtocolVersion) {
    const std::string what =
        hello == nullptr ? "the first command must be hello"
                         : fmt::format("the engine speaks protocol version {}, the client {}",
                                       kProtocolVersion, hello->version);
    writer.write(greeting->id, Failed{Error::unsupported(what)});
    return std::nullopt;
  }
  writer.write(greeting->id, Hello{});
  auto second = next_command(fd, writer);
  if (!second) return std::nullopt;
  auto* load = std::get_if<LoadRequest>(&second->command);
  if (load == nullptr) {
    writer.write(second->id, Failed{Error::invalid("the second command must be load")});
    return std::nullopt;
  }
  return IncomingLoad{second->id, std::move(*load)};
}

Error no_chat_template_error() {
  return Error::invalid(
      "this model has no chat template, so it cannot answer a conversation; "
      "use text completion instead (/v1/completions)",
      "messages");
}

Error makes_no_text_error() {
  return Error::invalid("this model is an encoder: it makes embeddings and no text", "model");
}

}  // namespace maru::link
