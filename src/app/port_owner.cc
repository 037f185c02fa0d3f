#include "app/port_owner.h"

#include <fmt/format.h>

#include <fstream>
#include <sstream>
#include <system_error>
#include <vector>

namespace maru::app {
namespace {

namespace fs = std::filesystem;

constexpr const char* kListening = "0A";  // TCP_LISTEN in /proc/net/tcp

// The inode of the socket that listens on the port, from a table of the form
// "sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode".
std::optional<std::string> listening_inode(const fs::path& table, uint16_t port) {
  std::ifstream file(table);
  const std::string wanted = fmt::format(":{:04X}", port);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::vector<std::string> fields;
    for (std::string word; words >> word;) fields.push_back(word);
    if (fields.size() > 9 && fields[1].ends_with(wanted) && fields[3] == kListening) {
      return fields[9];
    }
  }
  return std::nullopt;
}

bool holds(const fs::path& process, const std::string& link) {
  std::error_code error;
  fs::directory_iterator descriptors(process / "fd", error);
  while (!error && descriptors != fs::directory_iterator()) {
    std::error_code ignored;
    if (fs::read_symlink(descriptors->path(), ignored) == link) return true;
    descriptors.increment(error);
  }
  return false;
}

}  // namespace

std::optional<std::string> port_owner(uint16_t port, const fs::path& proc) {
  std::optional<std::string> inode = listening_inode(proc / "net/tcp", port);
  if (!inode) inode = listening_inode(proc / "net/tcp6", port);
  if (!inode) return std::nullopt;
  const std::string link = fmt::format("socket:[{}]", *inode);
  std::error_code error;
  fs::directory_iterator processes(proc, error);
  while (!error && processes != fs::directory_iterator()) {
    const std::string id = processes->path().filename().string();
    if (id.find_first_not_of("0123456789") == std::string::npos && holds(processes->path(), link)) {
      std::ifstream comm(processes->path() / "comm");
      std::string name;
      std::getline(comm, name);
      return fmt::format("process {} ({})", id, name);
    }
    processes.increment(error);
  }
  return std::nullopt;
}

}  // namespace maru::app
