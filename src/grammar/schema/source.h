// grammar/schema/source.h - the schemas within a JSON Schema document, by number, and what their
// references mean.
//
// A conjunction of schemas (some negated) is the unit that everything above works with: children of
// merged objects are conjunctions, so that recursion needs no special case.
// Threads: one owner.
// Source: JSON Schema 2020-12 core, sections 8 and 9; drafts 4 to 7 where they are written apart.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace maru::grammar {

// A schema's number times two, plus one where it is negated.
using Atom = uint32_t;
// A conjunction of atoms, by number.
using Ref = uint32_t;
inline constexpr Ref kTrue = 0;
inline constexpr Ref kFalse = 1;

class SchemaSource {
 public:
  // Requires: the document outlives this.
  explicit SchemaSource(const Json& document);

  struct Schema {
    const Json* json;
    uint32_t resource;  // whose base URI references are resolved against
    std::string path;   // for messages: "#/properties/a"
  };
  const Schema& schema(Atom atom) const { return schemas_[atom / 2]; }
  // Before draft 2019-09 a $ref is all that a schema with one says.
  bool ref_stands_alone() const { return ref_stands_alone_; }

  Atom root() { return atom_of(document_, 0, "#"); }
  // The schema `json`, found within `parent` at `step` ("properties/a").
  Atom child(Atom parent, const Json& json, std::string_view step);
  // Errors: kUnsupported for another document, kInvalidArgument where there is nothing.
  Result<Atom> resolve(Atom from, const std::string& reference);
  // A schema that only this value satisfies.
  Atom constant(const Json& value);

  Ref ref_of(Atom atom);
  Ref both(Ref a, Ref b);
  const std::vector<Atom>& atoms(Ref ref) const { return refs_[ref]; }

 private:
  struct Resource {
    std::string uri;  // without fragment; empty: unknown
    const Json* root;
  };

  Atom atom_of(const Json& json, uint32_t resource, std::string path);
  uint32_t resource_of(const Json& json, uint32_t parent);
  void scan(const Json& json, uint32_t resource, size_t depth);
  Ref intern(std::vector<Atom> atoms);

  const Json& document_;
  bool ref_stands_alone_ = false;
  std::deque<Json> made_;
  std::deque<Schema> schemas_;  // stays in place
  std::unordered_map<const Json*, Atom> atoms_;
  std::map<std::string, Atom> constants_;
  std::vector<Resource> resources_;
  std::unordered_map<const Json*, uint32_t> resource_at_;
  std::map<std::string, uint32_t> resource_by_uri_;
  std::map<std::pair<uint32_t, std::string>, const Json*> anchors_;
  std::vector<std::vector<Atom>> refs_;
  std::map<std::vector<Atom>, Ref> ref_ids_;
};

}  // namespace maru::grammar
