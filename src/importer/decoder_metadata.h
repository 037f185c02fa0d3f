// importer/decoder_metadata.h - the metadata that decoders share, from config.json.
//
// The families' metadata functions call it and add their own keys. Threads: none.
#pragma once
#include "importer/draft.h"

namespace maru::importer {

// Sizes, heads, the epsilon of norms, rope.
void decoder_metadata(Draft& draft);
// Only layers, context and width.
void sizes_metadata(Draft& draft);
// Base, dimensions and scaling of rope; a head has d_head values.
void rope_metadata(Draft& draft, uint64_t d_head);
// expert_count and expert_used_count, where there are experts.
void expert_metadata(Draft& draft);
// Experts behind some dense layers, in groups, with shared ones.
void routed_expert_metadata(Draft& draft);
// Which layers have a window: where layer_types says so.
std::vector<bool> window_layers(Draft& draft);

}  // namespace maru::importer
