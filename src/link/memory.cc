#include "link/memory.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string>

namespace maru::link {

uint64_t available_memory() {
  std::ifstream meminfo("/proc/meminfo");
  std::string line;
  while (std::getline(meminfo, line)) {
    constexpr std::string_view kKey = "MemAvailable:";
    if (!line.starts_with(kKey)) continue;
    const size_t digits = line.find_first_not_of(' ', kKey.size());
    uint64_t kilobytes = 0;
    std::from_chars(line.data() + std::min(digits, line.size()), line.data() + line.size(),
                    kilobytes);
    return kilobytes * 1024;
  }
  return 0;
}

}  // namespace maru::link
