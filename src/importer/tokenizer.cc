#include "importer/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/files.h"

namespace maru::importer {
namespace {

namespace fs = std::filesystem;
using text::TokenId;
using text::TokenKind;
using text::Vocab;

constexpr size_t kStepsMax = 64;
constexpr size_t kTemplatesMax = 64;
constexpr size_t kEndsMax = 64;
constexpr std::array<std::string_view, 3> kNoNumbers = {"-Infinity", "Infinity", "NaN"};

// Python's writers put numbers into JSON that JSON does not have: those become null.
std::string without_infinities(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!in_string) {
      const std::string_view rest = text.substr(i);
      const auto found = std::ranges::find_if(
          kNoNumbers, [&](std::string_view word) { return rest.starts_with(word); });
      if (found != kNoNumbers.end()) {
        out += "null";
        i += found->size() - 1;
        continue;
      }
    }
    if (text[i] == '"') in_string = !in_string;
    out += text[i];
    if (in_string && text[i] == '\\' && i + 1 < text.size()) out += text[++i];
  }
  return out;
}

Result<Json> read_json(const fs::path& path, size_t n_bytes_max) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return Json();
  MARU_TRY(text, read_file(path, n_bytes_max));
  auto json = parse_json(text);
  if (!json.ok()) json = parse_json(without_infinities(text));
  if (json.ok()) return json;
  return Error::corrupt(fmt::format("'{}': {}", path.filename().string(), json.error().message));
}

// The text of a special token, which files spell as a text or as an object.
std::string token_text(const Json& object, std::string_view key) {
  const Json& value = member(object, key);
  return value.is_object() ? text_of(value, "content") : text_of(object, key);
}

// Models mark some tokens that steer them as plain ones.
bool looks_special(std::string_view text) {
  constexpr std::array<std::string_view, 4> kTexts = {"<pad>", "<mask>", "<2mass>", "[@BOS@]"};
  const auto framed = [&](std::string_view begin, std::string_view end) {
    return text.size() > begin.size() + end.size() && text.starts_with(begin) &&
           text.ends_with(end);
  };
  return std::ranges::find(kTexts, text) != kTexts.end() || framed("<|", "|>") ||
         framed("<｜", "｜>") || framed("<unused", ">");
}

std::optional<TokenId> find_token(const Vocab& vocab, std::string_view text) {
  if (text.empty()) return std::nullopt;
  const auto found = std::ranges::find(vocab.pieces, text);
  if (found == vocab.pieces.end()) return std::nullopt;
  return static_cast<TokenId>(found - vocab.pieces.begin());
}

// What the post-processor puts around a single text.
struct Frame {
  bool known = false;
  std::string first, last;  // empty: nothing
};

std::string framing_token(const Json& item) { return text_of(member(item, "SpecialToken"), "id"); }

Frame frame_of(const Json& tokenizer) {
  Frame frame;
  for (const Json* part : parts_of(tokenizer, "post_processor")) {
    const std::string type = text_of(*part, "type");
    if (type == "TemplateProcessing") {
      const Json& single = member(*part, "single");
      if (!single.is_array() || single.empty()) continue;
      frame.known = true;
      frame.first = framing_token(single.front());
      frame.last = framing_token(single.back());
    } else if (type == "BertProcessing" || type == "RobertaProcessing") {
      frame.known = true;
      const Json& cls = member(*part, "cls");
      const Json& sep = member(*part, "sep");
      if (cls.is_array() && !cls.empty() && cls[0].is_string()) frame.first = cls[0];
      if (sep.is_array() && !sep.empty() && sep[0].is_string()) frame.last = sep[0];
    } else if (type == "ByteLevel") {
      frame.known = true;
    }
  }
  return frame;
}

class Writer {
 public:
  Writer(const TokenizerFiles& files, const Vocab& vocab, gguf::Writer& out)
      : files_(files), vocab_(vocab), out_(out) {}

  void special_tokens() {
    const Frame frame = frame_of(files_.tokenizer);
    const bool is_bert = vocab_.kind == text::VocabKind::kWordPiece;
    std::string bos = name("bos_token");
    std::string eos = name("eos_token");
    if (bos.empty() && !is_bert) bos = !frame.first.empty() ? frame.first : name("cls_token");
    if (eos.empty() && !is_bert) eos = !frame.last.empty() ? frame.last : name("sep_token");
    id("bos", bos);
    if (!is_bert) ends(eos);
    id("unknown", name("unk_token"));
    id("seperator", name("sep_token"));  // the format's own spelling
    id("padding", name("pad_token"));
    id("cls", name("cls_token"));
    id("mask", name("mask_token"));
    flag("add_bos_token", frame.known ? !frame.first.empty() : config_flag("add_bos_token"));
    flag("add_eos_token",
         frame.known ? !frame.last.empty() && !is_bert : config_flag("add_eos_token"));
    if (is_bert) flag("add_sep_token", !frame.last.empty());
  }

  // Errors: kCorrupt.
  Result<void> chat_templates() {
    const Json& stored = member(files_.config, "chat_template");
    if (files_.chat_template) {
      out_.set_string("tokenizer.chat_template", *files_.chat_template);
    } else if (stored.is_string()) {
      out_.set_string("tokenizer.chat_template", stored.get_ref<const std::string&>());
    } else if (stored.is_array()) {
      return named_templates(stored);
    }
    return {};
  }

 private:
  // The files agree, or the first one wins.
  std::string name(std::string_view key) const {
    const std::string text = token_text(files_.config, key);
    return text.empty() ? token_text(files_.special, key) : text;
  }

  bool config_flag(std::string_view key) const {
    const Json& value = member(files_.config, key);
    return value.is_boolean() && value.get<bool>();
  }

  void flag(std::string_view key, bool value) {
    out_.set_bool(fmt::format("tokenizer.ggml.{}", key), value);
  }

  void id(std::string_view key, std::string_view text) {
    if (const auto found = find_token(vocab_, text)) set_id(key, *found);
  }

  void set_id(std::string_view key, TokenId id) {
    out_.set_u32(fmt::format("tokenizer.ggml.{}_token_id", key), static_cast<uint32_t>(id));
  }

  // The tokens that end a generation: what the tokenizer says, then what the others add. GGUF
  // names two.
  void ends(std::string_view eos) {
    std::vector<TokenId> ids;
    const auto add = [&](const Json& id) {
      if (!id.is_number_unsigned() || id.get<uint64_t>() >= vocab_.pieces.size()) return;
      const auto token = id.get<TokenId>();
      if (std::ranges::find(ids, token) == ids.end()) ids.push_back(token);
    };
    if (const auto found = find_token(vocab_, eos)) add(Json(static_cast<uint64_t>(*found)));
    for (const auto& [file, key] :
         {std::pair(&files_.generation, "eos_token_id"), std::pair(&files_.model, "eos_token_id"),
          std::pair(&files_.model, "eod_token_id")}) {
      const Json& value = member(*file, key);
      if (!value.is_array()) add(value);
      for (size_t i = 0; value.is_array() && i < std::min(value.size(), kEndsMax); ++i)
        add(value[i]);
    }
    if (!ids.empty()) set_id("eos", ids[0]);
    if (ids.size() > 1) set_id("eot", ids[1]);
  }

  Result<void> named_templates(const Json& stored) {
    if (stored.size() > kTemplatesMax) {
      return Error::corrupt(fmt::format("tokenizer_config.json has {} chat templates, more than {}",
                                        stored.size(), kTemplatesMax));
    }
    std::vector<std::string> names;
    for (const Json& item : stored) {
      const std::string name = text_of(item, "name");
      const std::string text = text_of(item, "template");
      if (name.empty() || text.empty() || std::ranges::find(names, name) != names.end()) continue;
      const std::string key = name == "default" ? "" : "." + name;
      out_.set_string("tokenizer.chat_template" + key, text);
      if (name != "default") names.push_back(name);
    }
    if (!names.empty()) out_.set_strings("tokenizer.chat_templates", names);
    return {};
  }

  const TokenizerFiles& files_;
  const Vocab& vocab_;
  gguf::Writer& out_;
};

}  // namespace

void write_vocab(const TokenizerDraft& draft, gguf::Writer& out) {
  const Vocab& vocab = draft.vocab;
  out.set_string("tokenizer.ggml.model", draft.model);
  out.set_string("tokenizer.ggml.pre", vocab.pre.empty() ? "default" : vocab.pre);
  out.set_strings("tokenizer.ggml.tokens", vocab.pieces);
  std::vector<int32_t> kinds;
  for (const TokenKind kind : vocab.kinds) kinds.push_back(static_cast<int32_t>(kind));
  out.set_i32s("tokenizer.ggml.token_type", kinds);
  if (!vocab.scores.empty()) out.set_f32s("tokenizer.ggml.scores", vocab.scores);
  if (vocab.kind == text::VocabKind::kByteLevelBpe) {
    std::vector<std::string> merges;
    for (const auto& [left, right] : vocab.merges) merges.push_back(left + " " + right);
    out.set_strings("tokenizer.ggml.merges", merges);
  } else if (vocab.kind != text::VocabKind::kWordPiece) {
    out.set_bool("tokenizer.ggml.add_space_prefix", vocab.add_space_prefix);
  }
  if (vocab.kind == text::VocabKind::kUnigram) {
    out.set_bool("tokenizer.ggml.remove_extra_whitespaces", vocab.remove_extra_whitespaces);
    const std::string& map = vocab.precompiled_charsmap;
    if (!map.empty()) {
      out.set_u8s("tokenizer.ggml.precompiled_charsmap",
                  std::span(reinterpret_cast<const uint8_t*>(map.data()), map.size()));
    }
  }
}

const Json& member(const Json& object, std::string_view key) {
  static const Json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

std::string text_of(const Json& object, std::string_view key) {
  const Json& value = member(object, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}

std::vector<const Json*> parts_of(const Json& tokenizer, const char* key) {
  const Json& whole = member(tokenizer, key);
  if (!whole.is_object()) return {};
  for (const char* list : {"normalizers", "pretokenizers", "processors"}) {
    const Json& items = member(whole, list);
    if (!items.is_array()) continue;
    std::vector<const Json*> parts;
    for (const Json& item : items) {
      if (parts.size() < kStepsMax) parts.push_back(&item);
    }
    return parts;
  }
  return {&whole};
}

void fill_unused(Vocab& vocab, size_t n_vocab) {
  for (size_t i = 0; i < n_vocab; ++i) vocab.pieces.push_back(fmt::format("[PAD{}]", i));
  vocab.kinds.assign(n_vocab, TokenKind::kUnused);
}

Result<void> set_piece(Vocab& vocab, std::string_view piece, const Json& id) {
  if (!id.is_number_unsigned() || id.get<uint64_t>() >= vocab.pieces.size()) {
    return Error::corrupt(
        fmt::format("tokenizer.json: token '{}' has the id {}; the model has {} "
                    "embeddings",
                    piece.substr(0, 100), dump_json(id).substr(0, 40), vocab.pieces.size()));
  }
  if (piece.size() > text::kPieceBytesMax) {
    return Error::corrupt(fmt::format("tokenizer.json: token {} has {} bytes, more than {}",
                                      id.get<uint64_t>(), piece.size(), text::kPieceBytesMax));
  }
  const auto i = id.get<size_t>();
  if (vocab.kinds[i] != TokenKind::kUnused && vocab.pieces[i] != piece) {
    return Error::corrupt(fmt::format("tokenizer.json: tokens '{}' and '{}' have the same id {}",
                                      vocab.pieces[i], piece.substr(0, 100), i));
  }
  vocab.pieces[i] = piece;
  vocab.kinds[i] = TokenKind::kNormal;
  return {};
}

Result<void> set_added_tokens(Vocab& vocab, const Json& tokenizer) {
  const Json& added = member(tokenizer, "added_tokens");
  if (!added.is_array()) return {};
  constexpr std::string_view kSpaceMark = "▁";
  for (const Json& token : added) {
    std::string text = text_of(token, "content");
    const Json& id = member(token, "id");
    if (text.empty()) return Error::corrupt("tokenizer.json has an added token without content");
    const Json& special = member(token, "special");
    const bool is_special = (special.is_boolean() && special.get<bool>()) || looks_special(text);
    // A token at the end of what the embeddings hold that no weights belong to is of no use.
    if (id.is_number_unsigned() && id.get<uint64_t>() >= vocab.pieces.size() && is_special) {
      continue;
    }
    MARU_TRY_VOID(set_piece(vocab, text, id));
    const auto i = id.get<size_t>();
    vocab.kinds[i] = is_special ? TokenKind::kControl : TokenKind::kUserDefined;
    if (is_special || vocab.kind == text::VocabKind::kWordPiece) continue;
    for (size_t at = text.find(kSpaceMark); at != std::string::npos; at = text.find(kSpaceMark)) {
      text.replace(at, kSpaceMark.size(), " ");
    }
    vocab.pieces[i] = text;
  }
  return {};
}

Result<TokenizerFiles> TokenizerFiles::read(const fs::path& folder) {
  TokenizerFiles files;
  MARU_TRY(tokenizer, read_json(folder / "tokenizer.json", kTokenizerBytesMax));
  MARU_TRY(config, read_json(folder / "tokenizer_config.json", kSideFileBytesMax));
  MARU_TRY(model, read_json(folder / "config.json", kSideFileBytesMax));
  MARU_TRY(generation, read_json(folder / "generation_config.json", kSideFileBytesMax));
  MARU_TRY(special, read_json(folder / "special_tokens_map.json", kSideFileBytesMax));
  if (model.is_null()) {
    return Error::not_found(fmt::format("'{}' has no config.json", folder.string()));
  }
  if (!tokenizer.is_object()) {
    std::error_code ignored;
    const bool has_model = fs::exists(folder / "tokenizer.model", ignored);
    return Error::not_found(fmt::format("'{}' has no tokenizer.json{}", folder.string(),
                                        has_model ? "; tokenizer.model alone is not read" : ""));
  }
  files.tokenizer = std::move(tokenizer), files.config = std::move(config);
  files.model = std::move(model);
  files.generation = std::move(generation), files.special = std::move(special);
  std::error_code ignored;
  if (fs::exists(folder / "chat_template.jinja", ignored)) {
    MARU_TRY(text, read_file(folder / "chat_template.jinja", kSideFileBytesMax));
    files.chat_template = std::move(text);
  }
  return files;
}

Result<void> add_tokenizer(const TokenizerFiles& files, size_t n_vocab, std::string_view pre_name,
                           gguf::Writer& metadata) {
  if (n_vocab == 0 || n_vocab > text::kVocabMax) {
    return Error::corrupt(fmt::format("{} embeddings; expected 1 to {}", n_vocab, text::kVocabMax));
  }
  const std::string type = text_of(member(files.tokenizer, "model"), "type");
  const auto drafted = [&]() -> Result<TokenizerDraft> {
    if (type == "BPE") return draft_bpe(files.tokenizer, n_vocab, pre_name);
    if (type == "Unigram") return draft_unigram(files.tokenizer, n_vocab);
    if (type == "WordPiece") return draft_wordpiece(files.tokenizer, n_vocab);
    return Error::unsupported(fmt::format(
        "tokenizer.json: a model of type '{}'; BPE, Unigram and WordPiece are read", type));
  };
  MARU_TRY(draft, drafted());
  if (!pre_name.empty() && draft.vocab.kind != text::VocabKind::kByteLevelBpe) {
    return Error::invalid("--pre is for byte-level BPE; the tokenizer of this model is none");
  }
  write_vocab(draft, metadata);
  Writer writer(files, draft.vocab, metadata);
  writer.special_tokens();
  return writer.chat_templates();
}

}  // namespace maru::importer
