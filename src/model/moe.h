// model/moe.h - which experts a token goes to. Used by moe.cc. Threads: free function.
#pragma once
#include <cstddef>
#include <span>
#include <vector>

#include "model/spec.h"

namespace maru::model {

// The n_used experts with the highest score + bias, best first, the lower index first where equal;
// with groups, among those of the n_group_used best groups.
// Shapes: scores [n_expert]; bias [n_expert] or empty.
// Source: groups, DeepSeek-AI 2024 (arXiv:2405.04434), section 2.2.2; (arXiv:2412.19437), section
// 2.1.2.
void choose_experts(const MoeSpec& moe, std::span<const float> scores, std::span<const float> bias,
                    std::vector<size_t>& chosen);

}  // namespace maru::model
