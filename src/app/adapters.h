// app/adapters.h - the adapters that `maru serve` was told of: --adapter [MODEL:]NAME=FILE.
//
// Threads: free functions.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "app/session.h"
#include "link/messages.h"

namespace maru::app {

inline constexpr size_t kAdapterNameBytesMax = 64;

struct ServedAdapter {
  std::string model;  // its name in the store
  link::AdapterFile file;
};

// Errors: kInvalidArgument where this is not [MODEL:]NAME=FILE, with NAME of letters, digits, '.',
// '_' and '-'.
Result<ServedAdapter> parse_adapter(std::string_view text, const std::string& default_model);

// All of session.adapters. Errors: the above; kNotFound for a model that is not in the store and
// for a file that is not there; kInvalidArgument for two of one name, or too many of one model.
Result<std::vector<ServedAdapter>> read_adapters(const Session& session, const hub::Store& store);

}  // namespace maru::app
