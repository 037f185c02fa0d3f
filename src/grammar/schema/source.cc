#include "grammar/schema/source.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/hex.h"

namespace maru::grammar {
namespace {

// Values of these keywords are no schemas, whatever they look like.
constexpr std::array kNoSchemas = {"enum", "const", "default", "examples", "example"};

const std::string* text_at(const Json& json, const char* key) {
  if (!json.is_object()) return nullptr;
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get_ptr<const std::string*>() : nullptr;
}

// Enough of RFC 3986, section 5.2, for identifiers of schemas: no dot segments, no queries.
std::string resolved(const std::string& base, const std::string& reference) {
  if (reference.empty()) return base;
  if (reference.find("://") != reference.npos || reference.starts_with("urn:")) return reference;
  const size_t authority = base.find("://");
  if (authority == base.npos) return reference;
  const size_t path = base.find('/', authority + 3);
  if (reference.starts_with('/')) return base.substr(0, path) + reference;
  if (path == base.npos) return base + "/" + reference;
  return base.substr(0, base.rfind('/') + 1) + reference;
}

// %41 is A, then ~1 is / and ~0 is ~.
std::string pointer_token(std::string_view token) {
  std::string bytes, text;
  for (size_t i = 0; i < token.size(); ++i) {
    const bool encoded = token[i] == '%' && i + 2 < token.size() && hex_digit(token[i + 1]) >= 0 &&
                         hex_digit(token[i + 2]) >= 0;
    bytes += encoded ? static_cast<char>(hex_digit(token[i + 1]) * 16 + hex_digit(token[i + 2]))
                     : token[i];
    if (encoded) i += 2;
  }
  for (size_t i = 0; i < bytes.size(); ++i) {
    const bool escaped =
        bytes[i] == '~' && i + 1 < bytes.size() && (bytes[i + 1] == '0' || bytes[i + 1] == '1');
    text += escaped ? (bytes[++i] == '0' ? '~' : '/') : bytes[i];
  }
  return text;
}

}  // namespace

SchemaSource::SchemaSource(const Json& document) : document_(document) {
  refs_ = {{}, {}};
  ref_ids_[{}] = kTrue;
  if (const std::string* draft = text_at(document, "$schema")) {
    for (const std::string_view old : {"draft-03", "draft-04", "draft-06", "draft-07"}) {
      ref_stands_alone_ = ref_stands_alone_ || draft->find(old) != draft->npos;
    }
  }
  resources_.push_back({"", &document});
  resource_at_[&document] = 0;
  if (const std::string* id = text_at(document, "$id")) resources_[0].uri = *id;
  if (const std::string* id = text_at(document, "id")) resources_[0].uri = *id;
  if (const size_t hash = resources_[0].uri.find('#'); hash != std::string::npos) {
    resources_[0].uri.resize(hash);
  }
  resource_by_uri_[resources_[0].uri] = 0;
  scan(document, 0, 0);
}

// Finds what references may name. The depth of JSON is bounded by its parser.
void SchemaSource::scan(const Json& json, uint32_t resource, size_t depth) {
  if (json.is_array()) {
    for (const Json& item : json) scan(item, resource, depth + 1);
  }
  if (!json.is_object()) return;
  const std::string* id = text_at(json, "$id");
  if (id == nullptr) id = text_at(json, "id");
  if (id != nullptr && depth > 0) {
    if (id->starts_with('#')) {
      anchors_[{resource, id->substr(1)}] = &json;  // draft 4 and 6
    } else {
      std::string uri = resolved(resources_[resource].uri, *id);
      if (const size_t hash = uri.find('#'); hash != uri.npos) uri.resize(hash);
      const auto number = static_cast<uint32_t>(resources_.size());
      resources_.push_back({uri, &json});
      resource_by_uri_.try_emplace(uri, number);
      resource_at_[&json] = number;
      resource = number;
    }
  }
  if (const std::string* anchor = text_at(json, "$anchor")) anchors_[{resource, *anchor}] = &json;
  for (const auto& [key, value] : json.items()) {
    if (std::ranges::find(kNoSchemas, key) == kNoSchemas.end()) scan(value, resource, depth + 1);
  }
}

uint32_t SchemaSource::resource_of(const Json& json, uint32_t parent) {
  const auto found = resource_at_.find(&json);
  return found == resource_at_.end() ? parent : found->second;
}

Atom SchemaSource::atom_of(const Json& json, uint32_t resource, std::string path) {
  const auto [found, is_new] = atoms_.try_emplace(&json, static_cast<Atom>(schemas_.size() * 2));
  if (is_new) schemas_.push_back({&json, resource_of(json, resource), std::move(path)});
  return found->second;
}

Atom SchemaSource::child(Atom parent, const Json& json, std::string_view step) {
  const Schema& from = schema(parent);
  return atom_of(json, from.resource, fmt::format("{}/{:.200}", from.path, step));
}

Atom SchemaSource::constant(const Json& value) {
  const auto [found, is_new] = constants_.try_emplace(value.dump(), 0);
  if (is_new) {
    made_.push_back(Json{{"const", value}});
    found->second = atom_of(made_.back(), 0, "#");
  }
  return found->second;
}

Result<Atom> SchemaSource::resolve(Atom from, const std::string& reference) {
  const size_t hash = std::min(reference.find('#'), reference.size());
  uint32_t resource = schema(from).resource;
  if (hash > 0) {
    const std::string uri = resolved(resources_[resource].uri, reference.substr(0, hash));
    const auto found = resource_by_uri_.find(uri);
    if (found == resource_by_uri_.end()) {
      return Error::unsupported(fmt::format(
          "$ref \"{:.200}\" refers to another document; only references within the schema are "
          "followed",
          reference));
    }
    resource = found->second;
  }
  const std::string fragment = hash < reference.size() ? reference.substr(hash + 1) : std::string();
  const Json* at = resources_[resource].root;
  const Error nothing =
      Error::invalid(fmt::format("$ref \"{:.200}\" refers to nothing in the schema", reference));
  if (!fragment.empty() && fragment[0] != '/') {
    const auto anchor = anchors_.find({resource, fragment});
    if (anchor == anchors_.end()) return nothing;
    return atom_of(*anchor->second, resource, "#" + fragment);
  }
  for (size_t begin = 1; begin <= fragment.size();) {
    const size_t end = std::min(fragment.find('/', begin), fragment.size());
    const std::string token = pointer_token(std::string_view(fragment).substr(begin, end - begin));
    begin = end + 1;
    if (at->is_object() && at->contains(token)) {
      at = &*at->find(token);
    } else if (at->is_array()) {
      size_t index = 0;
      const auto [stop, code] = std::from_chars(token.data(), token.data() + token.size(), index);
      if (code != std::errc() || stop != token.data() + token.size() || index >= at->size()) {
        return nothing;
      }
      at = &(*at)[index];
    } else {
      return nothing;
    }
    resource = resource_of(*at, resource);
  }
  return atom_of(*at, resource, "#" + fragment);
}

Ref SchemaSource::intern(std::vector<Atom> atoms) {
  std::ranges::sort(atoms);
  const auto [begin, end] = std::ranges::unique(atoms);
  atoms.erase(begin, end);
  for (size_t i = 0; i + 1 < atoms.size(); ++i) {
    if ((atoms[i] ^ 1) == atoms[i + 1]) return kFalse;
  }
  const auto [found, is_new] = ref_ids_.try_emplace(atoms, static_cast<Ref>(refs_.size()));
  if (is_new) refs_.push_back(std::move(atoms));
  return found->second;
}

Ref SchemaSource::ref_of(Atom atom) {
  const Json& json = *schema(atom).json;
  const bool negated = (atom & 1) != 0;
  if (json.is_boolean()) return json.get<bool>() != negated ? kTrue : kFalse;
  if (json.is_object() && json.empty()) return negated ? kFalse : kTrue;
  return intern({atom});
}

Ref SchemaSource::both(Ref a, Ref b) {
  if (a == kFalse || b == kFalse) return kFalse;
  if (a == b || b == kTrue) return a;
  if (a == kTrue) return b;
  std::vector<Atom> atoms = refs_[a];
  atoms.insert(atoms.end(), refs_[b].begin(), refs_[b].end());
  return intern(std::move(atoms));
}

}  // namespace maru::grammar
