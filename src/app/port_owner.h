// app/port_owner.h - who listens on a TCP port of this machine, as far as /proc shows it.
//
// serve says it where its port is in use. Threads: any.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace maru::app {

// "process 123 (nginx)". nullopt where no such socket or process can be seen (another user's).
std::optional<std::string> port_owner(uint16_t port, const std::filesystem::path& proc = "/proc");

}  // namespace maru::app
