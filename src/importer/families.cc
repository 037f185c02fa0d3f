#include "importer/families.h"

#include <algorithm>

namespace maru::importer {
namespace {

constexpr const Family* kFamilies[] = {&kBert,  &kLlama, &kNomicBert,
                                       &kQwen2, &kQwen3, &kXlmRoberta};

}  // namespace

std::span<const Family* const> families() { return kFamilies; }

const Family* find_family(std::string_view model_type) {
  for (const Family* family : kFamilies) {
    if (!model_type.empty() &&
        std::ranges::find(family->model_types, model_type) != family->model_types.end()) {
      return family;
    }
  }
  return nullptr;
}

}  // namespace maru::importer
