// grammar/schema/shape.h - what a schema allows, with `allOf`, `anyOf`, `$ref` and their like
// worked out: for each type a set that can be met, joined and complemented.
//
// Threads: plain values.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "grammar/schema/source.h"
#include "grammar/terms.h"

namespace maru::grammar {

struct ArrayShape {
  std::vector<Ref> prefix = {};
  Ref items = kTrue;  // of what follows the prefix
  uint32_t n_min = 0;
  uint32_t n_max = kNoMax;
  Ref contains = kTrue;
  uint32_t n_contains_min = 0;  // 0: `contains` says nothing

  bool operator==(const ArrayShape&) const = default;
  Ref at(size_t index) const { return index < prefix.size() ? prefix[index] : items; }
};

struct ObjectShape {
  struct Property {
    std::string name;
    Ref ref = kTrue;  // kFalse: forbidden
    bool required = false;
    bool operator==(const Property&) const = default;
  };
  struct Region {
    TermId names;  // apart from each other; a property's own name counts as in none
    Ref ref;
    bool operator==(const Region&) const = default;
  };
  std::vector<Property> properties = {};  // sorted by name
  std::vector<Region> regions = {};       // names in none are forbidden
  uint32_t n_min = 0;
  uint32_t n_max = kNoMax;
  std::vector<std::pair<std::string, std::string>> needs =
      {};  // where the first is, the second must be

  bool operator==(const ObjectShape&) const = default;
  const Property* find(const std::string& name) const;
  Property& property(const std::string& name, Ref otherwise);  // made where there is none
};

struct Shape {
  bool is_null = false;
  bool is_true = false;
  bool is_false = false;
  TermId number = kNever;
  TermId string = kNever;
  std::vector<ArrayShape> arrays = {};    // any of them
  std::vector<ObjectShape> objects = {};  // any of them
};

}  // namespace maru::grammar
