// grammar/schema/meet.cc - the algebra of shapes: what both allow, what either allows, what one
// does not allow.
#include <fmt/format.h>

#include <algorithm>

#include "grammar/numbers.h"
#include "grammar/schema/shaper.h"

namespace maru::grammar {
namespace {

// How deep surely_empty() looks, and how far is_ready() follows references.
constexpr size_t kLookDepthMax = 3;
constexpr size_t kReadyDepthMax = 6;
// Of an alternative and each of its properties or items, roughly.
constexpr size_t kShapeBytes = 160;
constexpr size_t kShapePartBytes = 64;

size_t n_parts_of(const ArrayShape& array) { return array.prefix.size(); }
size_t n_parts_of(const ObjectShape& object) { return object.properties.size(); }

}  // namespace

Shape Shaper::any() {
  Shape shape{.is_null = true,
              .is_true = true,
              .is_false = true,
              .number = number_term(terms_),
              .string = terms_.any_string()};
  shape.arrays.emplace_back();
  shape.objects.emplace_back().regions.push_back({terms_.any_string(), kTrue});
  return shape;
}

Shape Shaper::meet(const Shape& a, const Shape& b) {
  terms_.budget().step(a.objects.size() * b.objects.size() + a.arrays.size() * b.arrays.size());
  Shape shape{.is_null = a.is_null && b.is_null,
              .is_true = a.is_true && b.is_true,
              .is_false = a.is_false && b.is_false,
              .number = terms_.both({a.number, b.number}),
              .string = terms_.both({a.string, b.string})};
  for (const ArrayShape& one : a.arrays) {
    for (const ArrayShape& other : b.arrays) {
      if (!error_) meet_arrays(one, other, shape.arrays);
    }
  }
  for (const ObjectShape& one : a.objects) {
    for (const ObjectShape& other : b.objects) {
      if (!error_) meet_objects(one, other, shape.objects);
    }
  }
  return shape;
}

void Shaper::meet_arrays(const ArrayShape& a, const ArrayShape& b, std::vector<ArrayShape>& out) {
  ArrayShape both{.items = source_.both(a.items, b.items),
                  .n_min = std::max(a.n_min, b.n_min),
                  .n_max = std::min(a.n_max, b.n_max),
                  .contains = a.n_contains_min > 0 ? a.contains : b.contains,
                  .n_contains_min = std::max(a.n_contains_min, b.n_contains_min)};
  if (a.n_contains_min > 0 && b.n_contains_min > 0 && a.contains != b.contains) {
    fail(Error::unsupported("JSON schema: two different `contains` for one array"));
  }
  const size_t n_prefix = std::max(a.prefix.size(), b.prefix.size());
  for (size_t i = 0; i < n_prefix; ++i) both.prefix.push_back(source_.both(a.at(i), b.at(i)));
  if (!surely_empty(both)) add_alternative(out, std::move(both));
}

template <class Part>
void Shaper::add_alternative(std::vector<Part>& list, Part part) {
  Budget& budget = terms_.budget();
  const size_t n_parts = n_parts_of(part);
  budget.step(list.size() + 4 * n_parts);
  if (std::ranges::find(list, part) != list.end()) return;
  budget.take(kShapeBytes + kShapePartBytes * n_parts);
  if (list.size() == kAlternativesMax) {
    fail(Error::exhausted(
        fmt::format("JSON schema: more than {} alternatives in one place", kAlternativesMax)));
  } else if (budget.exhausted()) {
    fail(Error::exhausted("the JSON schema is too large or too intricate to compile"));
  } else {
    list.push_back(std::move(part));
  }
}

Ref Shaper::ref_for(const ObjectShape& object, const std::string& name) {
  if (const auto* property = object.find(name)) return property->ref;
  for (const auto& region : object.regions) {
    if (terms_.matches(region.names, name)) return region.ref;
  }
  return kFalse;
}

void Shaper::meet_objects(const ObjectShape& a, const ObjectShape& b,
                          std::vector<ObjectShape>& out) {
  ObjectShape both{.n_min = std::max(a.n_min, b.n_min), .n_max = std::min(a.n_max, b.n_max)};
  terms_.budget().step(a.properties.size() + b.properties.size());
  auto one = a.properties.begin();
  auto other = b.properties.begin();
  while (one != a.properties.end() || other != b.properties.end()) {
    const bool from_a =
        other == b.properties.end() || (one != a.properties.end() && one->name <= other->name);
    const bool from_b =
        one == a.properties.end() || (other != b.properties.end() && other->name <= one->name);
    const std::string& name = from_a ? one->name : other->name;
    const Ref ref_a = from_a ? one->ref : ref_for(a, name);
    const Ref ref_b = from_b ? other->ref : ref_for(b, name);
    both.properties.push_back({name, source_.both(ref_a, ref_b),
                               (from_a && one->required) || (from_b && other->required)});
    if (from_a) ++one;
    if (from_b) ++other;
  }
  for (const auto& region : a.regions) {
    for (const auto& more : b.regions) {
      const Ref ref = source_.both(region.ref, more.ref);
      const TermId names = terms_.both({region.names, more.names});
      if (ref != kFalse && terms_.is_live(names)) both.regions.push_back({names, ref});
    }
  }
  if (both.regions.size() > kRegionsMax) {
    fail(Error::exhausted(fmt::format(
        "JSON schema: combined patternProperties part the names into more than {} kinds",
        kRegionsMax)));
  }
  both.needs = a.needs;
  for (const auto& need : b.needs) {
    if (std::ranges::find(both.needs, need) == both.needs.end()) both.needs.push_back(need);
  }
  if (!surely_empty(both)) add_alternative(out, std::move(both));
}

void Shaper::join(Shape& into, const Shape& other) {
  into.is_null = into.is_null || other.is_null;
  into.is_true = into.is_true || other.is_true;
  into.is_false = into.is_false || other.is_false;
  into.number = terms_.either({into.number, other.number});
  into.string = terms_.either({into.string, other.string});
  for (const ArrayShape& each : other.arrays) {
    if (!error_) add_alternative(into.arrays, each);
  }
  for (const ObjectShape& each : other.objects) {
    if (!error_) add_alternative(into.objects, each);
  }
}

Shape Shaper::negate(Atom atom, const Shape& shape) {
  const Shape all = any();
  Shape rest{.is_null = !shape.is_null,
             .is_true = !shape.is_true,
             .is_false = !shape.is_false,
             .number = terms_.minus(all.number, shape.number),
             .string = terms_.minus(all.string, shape.string),
             .arrays = all.arrays,
             .objects = all.objects};
  if (!terms_.is_live(rest.number)) rest.number = kNever;
  if (!terms_.is_live(rest.string)) rest.string = kNever;
  for (const ArrayShape& array : shape.arrays) {
    Shape without;
    negate_array(atom, array, without.arrays);
    Shape arrays{.arrays = std::move(rest.arrays)};
    rest.arrays = meet(arrays, without).arrays;
  }
  for (const ObjectShape& object : shape.objects) {
    Shape without;
    negate_object(atom, object, without.objects);
    Shape objects{.objects = std::move(rest.objects)};
    rest.objects = meet(objects, without).objects;
  }
  return rest;
}

// One alternative for each way to break it.
void Shaper::negate_object(Atom atom, const ObjectShape& object, std::vector<ObjectShape>& out) {
  const ObjectShape all = any().objects[0];
  for (const auto& property : object.properties) {
    if (property.required) {
      out.emplace_back(all).property(property.name, kFalse);
    }
    const auto broken = [&](Ref ref) {
      if (ref == kFalse) return;
      auto& own = out.emplace_back(all).property(property.name, ref);
      own.required = true;
    };
    if (property.ref == kFalse) broken(kTrue);
    if (property.ref == kFalse || property.ref == kTrue) continue;
    const std::vector<Atom> atoms = source_.atoms(property.ref);
    for (const Atom part : atoms) broken(source_.ref_of(part ^ 1));
  }
  const bool is_open = object.regions.size() == 1 && object.regions[0].ref == kTrue &&
                       object.regions[0].names == terms_.any_string();
  if (!is_open) {
    wrong(atom,
          "the complement (`not`, `else`, or a `oneOf` whose alternatives can hold at once) of "
          "additionalProperties, patternProperties or propertyNames is not supported",
          true);
  }
  if (object.n_min > 0) out.emplace_back(all).n_max = object.n_min - 1;
  if (object.n_max != kNoMax) out.emplace_back(all).n_min = object.n_max + 1;
  for (const auto& [name, needed] : object.needs) {
    ObjectShape& broken = out.emplace_back(all);
    broken.property(name, kTrue).required = true;
    broken.property(needed, kFalse);
  }
}

void Shaper::negate_array(Atom atom, const ArrayShape& array, std::vector<ArrayShape>& out) {
  if (array.n_min > 0) out.push_back({.n_max = array.n_min - 1});
  if (array.n_max != kNoMax) out.push_back({.n_min = array.n_max + 1});
  for (size_t i = 0; i < array.prefix.size(); ++i) {
    const std::vector<Atom> atoms = source_.atoms(array.prefix[i]);
    for (const Atom part : atoms) {
      const auto n = static_cast<uint32_t>(i + 1);
      ArrayShape& broken = out.emplace_back(ArrayShape{.n_min = n});
      broken.prefix.assign(i, kTrue);
      broken.prefix.push_back(source_.ref_of(part ^ 1));
    }
  }
  if (array.items == kFalse) {
    out.push_back({.n_min = static_cast<uint32_t>(array.prefix.size()) + 1});
  } else if (array.items != kTrue) {
    if (!array.prefix.empty()) {
      wrong(atom, "the complement of items after prefixItems is not supported", true);
    }
    const std::vector<Atom> atoms = source_.atoms(array.items);
    for (const Atom part : atoms) {
      out.push_back({.contains = source_.ref_of(part ^ 1), .n_contains_min = 1});
    }
  }
  if (array.n_contains_min == 0) return;
  const std::vector<Atom> atoms = source_.atoms(array.contains);
  if (array.n_contains_min > 1 || atoms.size() != 1) {
    return wrong(atom, "the complement of this `contains` is not supported", true);
  }
  out.push_back({.items = source_.ref_of(atoms[0] ^ 1)});
}

bool Shaper::are_apart(const Shape& a, const Shape& b) {
  if ((a.is_null && b.is_null) || (a.is_true && b.is_true) || (a.is_false && b.is_false)) {
    return false;
  }
  const auto overlap = [this](TermId one, TermId other) {
    return one != kNever && other != kNever && terms_.is_live(terms_.both({one, other}));
  };
  if (overlap(a.number, b.number) || overlap(a.string, b.string)) return false;
  const auto all_apart = [this](const auto& one, const auto& other) {
    return std::ranges::all_of(one, [&](const auto& x) {
      return std::ranges::all_of(other, [&](const auto& y) { return are_apart(x, y); });
    });
  };
  return all_apart(a.arrays, b.arrays) && all_apart(a.objects, b.objects);
}

bool Shaper::are_apart(const ArrayShape& a, const ArrayShape& b) {
  if (a.n_min > b.n_max || b.n_min > a.n_max) return true;
  const size_t n = std::max(a.n_min, b.n_min);
  for (size_t i = 0; i < std::min<size_t>(n, 16); ++i) {
    if (surely_empty(source_.both(a.at(i), b.at(i)))) return true;
  }
  return false;
}

bool Shaper::are_apart(const ObjectShape& a, const ObjectShape& b) {
  terms_.budget().step(a.properties.size() + b.properties.size());
  if (a.n_min > b.n_max || b.n_min > a.n_max) return true;
  const auto one_way = [this](const ObjectShape& one, const ObjectShape& other) {
    return std::ranges::any_of(one.properties, [&](const auto& property) {
      return property.required &&
             surely_empty(source_.both(property.ref, ref_for(other, property.name)));
    });
  };
  return one_way(a, b) || one_way(b, a);
}

bool Shaper::is_ready(Atom atom, size_t depth) {
  for (const Atom each : {atom, atom & ~Atom{1}}) {
    const auto found = atom_shapes_.find(each);
    if (found != atom_shapes_.end() && found->second == nullptr) return false;
  }
  if (atom_shapes_.contains(atom)) return true;
  atom &= ~Atom{1};
  const Json& json = *source_.schema(atom).json;
  if (!json.is_object()) return true;
  if (depth > kReadyDepthMax) return false;
  if (const Json* ref = find(atom, "$ref")) {
    const auto target = ref->is_string() ? source_.resolve(atom, ref->get<std::string>())
                                         : Result<Atom>(Error::invalid(""));
    if (!target.ok() || !is_ready(*target, depth + 1)) return false;
  }
  for (const char* keyword : {"allOf", "anyOf", "oneOf"}) {
    const Json* list = find(atom, keyword);
    if (list == nullptr) continue;
    if (!list->is_array()) return false;
    for (size_t i = 0; i < list->size(); ++i) {
      const Atom part = source_.child(atom, (*list)[i], fmt::format("{}/{}", keyword, i));
      if (!is_ready(part, depth + 1)) return false;
    }
  }
  for (const char* keyword : {"not", "if", "dependencies", "dependentSchemas", "propertyNames"}) {
    if (find(atom, keyword) != nullptr) return false;
  }
  return true;
}

bool Shaper::surely_empty(Ref ref) {
  if (ref == kFalse) return true;
  if (ref == kTrue || error_ || depth_ >= kLookDepthMax) return false;
  const std::vector<Atom> atoms = source_.atoms(ref);
  if (!std::ranges::all_of(atoms, [this](Atom atom) { return is_ready(atom); })) return false;
  ++depth_;
  const bool empty = surely_empty(shape(ref));
  --depth_;
  return empty && !error_;
}

bool Shaper::surely_empty(const Shape& shape) {
  if (shape.is_null || shape.is_true || shape.is_false) return false;
  if (terms_.is_live(shape.number) || terms_.is_live(shape.string)) return false;
  return std::ranges::all_of(shape.arrays,
                             [this](const auto& each) { return surely_empty(each); }) &&
         std::ranges::all_of(shape.objects,
                             [this](const auto& each) { return surely_empty(each); });
}

bool Shaper::surely_empty(const ObjectShape& object) {
  if (object.n_min > object.n_max) return true;
  return std::ranges::any_of(object.properties, [this](const auto& property) {
    return property.required && surely_empty(property.ref);
  });
}

bool Shaper::surely_empty(const ArrayShape& array) {
  if (array.n_min > array.n_max || array.n_contains_min > array.n_max) return true;
  for (size_t i = 0; i < std::min<size_t>(array.n_min, array.prefix.size() + 1); ++i) {
    if (surely_empty(array.at(i))) return true;
  }
  return false;
}

}  // namespace maru::grammar
