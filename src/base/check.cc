#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace maru {

void check_failed(const char* file, int line, const char* expression) {
  std::fprintf(stderr, "%s:%d: CHECK failed: %s\n", file, line, expression);
  std::abort();
}

}  // namespace maru
