// model/load_model.cc - from an open GGUF file to a Model: finds the family by
// general.architecture.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "model/decoder.h"
#include "model/embedding.h"
#include "model/families.h"
#include "model/model.h"

namespace maru::model {

Result<AdapterId> Model::add_adapter(const gguf::File&, const LoadOptions&) {
  return Error::unsupported("this model takes no adapters");
}

Result<std::unique_ptr<Model>> load_model(const gguf::File& file, const LoadOptions& options) {
  CHECK(options.pool != nullptr && options.kernels != nullptr);
  MARU_TRY(architecture, file.metadata().get_string("general.architecture"));
  MARU_TRY(name, file.metadata().get_string_or("general.name", ""));
  if (is_encoder(architecture)) {
    return Error::unsupported(fmt::format(
        "architecture '{}' is an encoder: it makes embeddings and no text", architecture));
  }
  const auto family = std::ranges::find(families(), architecture, &Family::architecture);
  if (family == families().end()) {
    std::vector<std::string_view> known;
    for (const Family& f : families()) known.push_back(f.architecture);
    return Error::unsupported(fmt::format("architecture '{}' is not known; accepted: {}",
                                          architecture, fmt::join(known, ", ")));
  }
  const Config config(file, std::string(architecture), options.n_ctx);
  MARU_TRY(spec, family->spec(config));
  MARU_TRY_VOID(check_spec(spec));
  MARU_TRY(weights, load_weights(spec, config, options));
  return Decoder::create(std::move(spec), std::move(weights), options, std::string(name));
}

}  // namespace maru::model
