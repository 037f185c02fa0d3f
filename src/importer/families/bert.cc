// importer/families/bert.cc - the encoders: BERT (MiniLM, E5, BGE), XLM-RoBERTa, Nomic Embed.
#include <fmt/format.h>

#include "importer/common_rules.h"

namespace maru::importer {
namespace {

constexpr uint64_t kPositionsMax = 1 << 20;

// Positions of the RoBERTa kind begin behind the padding: GGUF leaves those rows out.
uint64_t first_position(Draft& draft) {
  return draft.family.model_types.front() == "bert"
             ? 0
             : draft.config.count_or({"pad_token_id"}, 1) + 1;
}

void encoder_metadata(Draft& draft) {
  HfConfig& config = draft.config;
  sizes_metadata(draft);
  const uint64_t n_positions = config.count({"max_position_embeddings", "n_positions"});
  draft.u32("feed_forward_length", config.count({"intermediate_size", "n_inner"}));
  draft.u32("attention.head_count", heads(draft).n_head);
  draft.f32("attention.layer_norm_epsilon",
            config.number({"layer_norm_eps", "layer_norm_epsilon"}));
  draft.flag("attention.causal", false);
  draft.plan.metadata.set_u32("tokenizer.ggml.token_type_count",
                              static_cast<uint32_t>(config.count_or({"type_vocab_size"}, 1)));
  if (draft.family.architecture == "nomic-bert") {
    rope_metadata(draft, heads(draft).d_head);
    draft.u32("context_length", n_positions);
    return;
  }
  if (n_positions <= first_position(draft)) {
    return draft.fail(fmt::format("config.json: {} positions are none", n_positions));
  }
  draft.u32("context_length", n_positions - first_position(draft));
  const std::string activation = config.text_or({"hidden_act"}, "gelu");
  if (activation != "gelu") {
    draft.fail(Error::unsupported(
        fmt::format("config.json: hidden_act '{}'; encoders with gelu are read", activation)));
  }
}

void positions(Draft& draft, NewTensor& tensor) {
  const uint64_t first = first_position(draft);
  if (first == 0) return;
  if (matrix_rows(tensor) > kPositionsMax) return draft.fail("too many positions");
  take_rows(draft, tensor, row_range(first, matrix_rows(tensor)));
}

// The two norms and biases of an encoder are those of the source, whatever they are called.
constexpr Rule kBertEnds[] = {
    {"token_embd", "embeddings.word_embeddings"},
    {"position_embd", "embeddings.position_embeddings", positions},
    {"token_types", "embeddings.token_type_embeddings", nullptr, kOptional},
    {"token_embd_norm", "embeddings.LayerNorm"}};
constexpr Rule kBertLayer[] = {{"attn_q", "attention.self.query"},
                               {"attn_k", "attention.self.key"},
                               {"attn_v", "attention.self.value"},
                               {"attn_output", "attention.output.dense"},
                               {"attn_output_norm", "attention.output.LayerNorm"},
                               {"ffn_up", "intermediate.dense"},
                               {"ffn_down", "output.dense"},
                               {"layer_output_norm", "output.LayerNorm"}};
constexpr Rule kNomicEnds[] = {
    {"token_embd", "embeddings.word_embeddings"},
    {"token_types", "embeddings.token_type_embeddings", nullptr, kOptional},
    {"token_embd_norm", "emb_ln"}};
constexpr Rule kNomicLayer[] = {{"attn_qkv", "attn.Wqkv"},     {"attn_output", "attn.out_proj"},
                                {"attn_output_norm", "norm1"}, {"ffn_up", "mlp.fc11"},
                                {"ffn_gate", "mlp.fc12"},      {"ffn_down", "mlp.fc2"},
                                {"layer_output_norm", "norm2"}};

void nomic_metadata(Draft& draft) {
  HfConfig& config = draft.config;
  if (config.has("moe_every_n_layers") && config.count({"moe_every_n_layers"}) > 0) {
    draft.fail(Error::unsupported("config.json: Nomic Embed with experts"));
  }
  config.set_default("rope_theta", config.number_or({"rotary_emb_base"}, 10000.0));
  encoder_metadata(draft);
}

}  // namespace

constinit const Family kBert = {.model_types = {"bert"},
                                .architecture = "bert",
                                .metadata = encoder_metadata,
                                .ends = kBertEnds,
                                .layers = "encoder.layer",
                                .layer = {kBertLayer},
                                .is_encoder = true};

constinit const Family kXlmRoberta = {.model_types = {"xlm-roberta"},
                                      .architecture = "bert",
                                      .metadata = encoder_metadata,
                                      .ends = kBertEnds,
                                      .layers = "encoder.layer",
                                      .layer = {kBertLayer},
                                      .is_encoder = true};

constinit const Family kNomicBert = {.model_types = {"nomic_bert"},
                                     .architecture = "nomic-bert",
                                     .metadata = nomic_metadata,
                                     .ends = kNomicEnds,
                                     .layers = "encoder.layers",
                                     .layer = {kNomicLayer},
                                     .is_encoder = true};

}  // namespace maru::importer
