// hub/hub_source.h - the hub (huggingface.co, or a mirror that speaks as it does): which files a
// reference means, how large they are and what they hash to.
//
// pull.h asks; download.h then fetches the files. Everything is asked for at one commit, so that a
// push to the repository in between changes nothing.
// Source: the hub's API: GET /api/models/ORG/REPO/revision/REV?blobs=true,
// /ORG/REPO/resolve/REV/FILE. Threads: free functions; any.
#pragma once
#include <stop_token>
#include <string>

#include "base/result.h"
#include "hub/download.h"
#include "hub/reference.h"

namespace maru::hub {

inline constexpr std::string_view kHubEndpoint = "https://huggingface.co";

struct HubAccess {
  std::string endpoint = std::string(kHubEndpoint);
  std::string token = {};  // for gated and private models; goes to the endpoint's origin alone
};

struct RemoteModel {
  std::string name;      // "qwen3-0.6b:q8_0"
  std::string source;    // "hf.co/Qwen/Qwen3-0.6B-GGUF/Qwen3-0.6B-Q8_0.gguf"
  std::string revision;  // the commit
  std::string quantization;
  std::string licence;            // as the hub spells it: "apache-2.0"; may be empty
  std::vector<RemoteFile> files;  // in order; more than one where the model is split
};

// One request to the API.
// Errors: kNotFound (repository, revision, file or quantization: says what there is), kUnavailable,
// kInvalidArgument (endpoint), kCorrupt (an answer that is not the hub's), kCancelled; and gated or
// private models as kNotFound saying what to do.
Result<RemoteModel> resolve_hub(const HubReference& reference, const HubAccess& access,
                                const FetchContext& context);

}  // namespace maru::hub
