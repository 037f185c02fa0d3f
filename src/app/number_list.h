// app/number_list.h - flags that take a list of numbers, as "128,512". Threads: a free function.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"

namespace maru::app {

// 1 to n_most numbers, each from `least` to `most`, with commas between.
// Errors: kInvalidArgument, saying that.
Result<std::vector<size_t>> read_number_list(const std::string& text, size_t n_most, size_t least,
                                             size_t most);

}  // namespace maru::app
