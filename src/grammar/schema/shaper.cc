#include "grammar/schema/shaper.h"

#include <fmt/format.h>

#include <algorithm>

namespace maru::grammar {
namespace {

// References to references, and schemas within `allOf` and the like.
constexpr size_t kShapeDepthMax = 100;

}  // namespace

const ObjectShape::Property* ObjectShape::find(const std::string& name) const {
  const auto found = std::ranges::lower_bound(properties, name, {}, &Property::name);
  return found != properties.end() && found->name == name ? &*found : nullptr;
}

ObjectShape::Property& ObjectShape::property(const std::string& name, Ref otherwise) {
  const auto found = std::ranges::lower_bound(properties, name, {}, &Property::name);
  if (found != properties.end() && found->name == name) return *found;
  return *properties.insert(found, {name, otherwise, false});
}

Shaper::Shaper(const Json& document, Terms& terms) : terms_(terms), source_(document) {}

void Shaper::fail(Error error) {
  if (!error_) error_ = std::move(error);
}

void Shaper::wrong(Atom atom, std::string_view what, bool unsupported) {
  std::string message = fmt::format("JSON schema, at {}: {}", source_.schema(atom).path, what);
  fail(unsupported ? Error::unsupported(std::move(message)) : Error::invalid(std::move(message)));
}

const Json* Shaper::find(Atom atom, const char* keyword) const {
  const Json& json = *source_.schema(atom).json;
  const auto found = json.find(keyword);
  return found == json.end() ? nullptr : &*found;
}

const Shape& Shaper::shape(Ref ref) {
  const auto found = ref_shapes_.find(ref);
  if (found != ref_shapes_.end()) return *found->second;
  Shape shape;
  if (ref != kFalse) {
    const std::vector<Atom> atoms = source_.atoms(ref);
    shape = atoms.empty() ? any() : atom_shape(atoms[0]);
    for (size_t i = 1; i < atoms.size() && !error_; ++i) {
      const Shape& other = atom_shape(atoms[i]);
      shape = meet(shape, other);
    }
  }
  return *ref_shapes_.emplace(ref, std::make_unique<Shape>(std::move(shape))).first->second;
}

const Shape& Shaper::atom_shape(Atom atom) {
  const auto [found, is_new] = atom_shapes_.try_emplace(atom);
  if (is_new && !error_) {
    auto shape = std::make_unique<Shape>(of_atom(atom));
    if (terms_.budget().exhausted()) {
      fail(Error::exhausted("the JSON schema is too large or too intricate to compile"));
    }
    atom_shapes_[atom] = std::move(shape);
  }
  auto& known = atom_shapes_[atom];
  if (known == nullptr) {
    wrong(atom, "a $ref that leads back to itself says nothing");
    known = std::make_unique<Shape>();
  }
  return *known;
}

Shape Shaper::of_atom(Atom atom) {
  if ((atom & 1) != 0) return negate(atom, atom_shape(atom ^ 1));
  return of_schema(atom);
}

Shape Shaper::of_schema(Atom atom) {
  const Json& json = *source_.schema(atom).json;
  if (json.is_boolean()) return json.get<bool>() ? any() : Shape{};
  if (!json.is_object()) {
    wrong(atom, "a schema is an object, true or false");
    return {};
  }
  if (++shape_depth_ > kShapeDepthMax) {
    fail(
        Error::exhausted(fmt::format("JSON schema, at {}: references and combined schemas nest "
                                     "deeper than {}",
                                     source_.schema(atom).path, kShapeDepthMax)));
  }
  Shape shape = error_ ? Shape{} : keywords(atom);
  --shape_depth_;
  return shape;
}

// Everything that a schema says holds together.
Shape Shaper::keywords(Atom atom) {
  const Json* ref = find(atom, "$ref");
  Shape shape = any();
  if (ref == nullptr || !source_.ref_stands_alone()) shape = typed(atom);
  if (ref != nullptr) {
    if (!ref->is_string()) {
      wrong(atom, "$ref must be a string");
      return {};
    }
    const auto target = source_.resolve(atom, ref->get<std::string>());
    if (!target.ok()) {
      fail(
          {target.error().code,
           fmt::format("JSON schema, at {}: {}", source_.schema(atom).path, target.error().message),
           {}});
      return {};
    }
    shape = meet(shape, atom_shape(*target));
    if (source_.ref_stands_alone()) return shape;
  }
  for (const char* keyword : {"$dynamicRef", "$recursiveRef"}) {
    if (find(atom, keyword) != nullptr) {
      wrong(atom, fmt::format("{} is not supported", keyword), true);
    }
  }
  for (const char* keyword : {"allOf", "anyOf", "oneOf"}) {
    const Json* list = find(atom, keyword);
    if (list == nullptr) continue;
    if (!list->is_array() || list->empty()) {
      wrong(atom, fmt::format("{} must be a non-empty array of schemas", keyword));
      return {};
    }
    if (*keyword == 'a' && keyword[1] == 'l') {
      for (size_t i = 0; i < list->size() && !error_; ++i) {
        const Atom part = source_.child(atom, (*list)[i], fmt::format("allOf/{}", i));
        shape = meet(shape, atom_shape(part));
      }
    } else {
      shape = meet(shape, *keyword == 'a' ? joined(atom, *list, keyword) : one_of(atom, *list));
    }
  }
  if (find(atom, "not") != nullptr) {
    const Ref ref_not = source_.ref_of(child(atom, "not") ^ 1);
    shape = meet(shape, this->shape(ref_not));
  }
  if (find(atom, "if") != nullptr) shape = meet(shape, conditional(atom));
  dependent_schemas(atom, "dependentSchemas", shape);
  dependent_schemas(atom, "dependencies", shape);
  return shape;
}

Shape Shaper::joined(Atom atom, const Json& list, const char* keyword) {
  Shape all;
  for (size_t i = 0; i < list.size() && !error_; ++i) {
    join(all, atom_shape(source_.child(atom, list[i], fmt::format("{}/{}", keyword, i))));
  }
  return all;
}

// Where two alternatives can hold at once, each is met with what the other is not.
Shape Shaper::one_of(Atom atom, const Json& list) {
  std::vector<Atom> ways;
  for (size_t i = 0; i < list.size(); ++i) {
    ways.push_back(source_.child(atom, list[i], fmt::format("oneOf/{}", i)));
    atom_shape(ways.back());
  }
  std::vector<std::vector<Atom>> others(ways.size());
  for (size_t i = 0; i < ways.size() && !error_; ++i) {
    for (size_t j = i + 1; j < ways.size() && !error_; ++j) {
      terms_.budget().step(10);
      if (are_apart(atom_shape(ways[i]), atom_shape(ways[j]))) continue;
      others[i].push_back(ways[j]);
      others[j].push_back(ways[i]);
    }
  }
  Shape all;
  for (size_t i = 0; i < ways.size() && !error_; ++i) {
    Shape only = atom_shape(ways[i]);
    for (const Atom other : others[i]) {
      if (error_) break;
      only = meet(only, atom_shape(other ^ 1));
    }
    join(all, only);
  }
  return all;
}

Shape Shaper::conditional(Atom atom) {
  const Atom condition = child(atom, "if");
  const bool has_then = find(atom, "then") != nullptr, has_else = find(atom, "else") != nullptr;
  if (!has_then && !has_else) return any();
  Shape yes = atom_shape(condition);
  if (has_then) yes = meet(yes, atom_shape(child(atom, "then")));
  Shape no = shape(source_.ref_of(condition ^ 1));
  if (has_else) no = meet(no, atom_shape(child(atom, "else")));
  join(yes, no);
  return yes;
}

void Shaper::dependent_schemas(Atom atom, const char* keyword, Shape& shape) {
  const Json* list = find(atom, keyword);
  if (list == nullptr || error_) return;
  if (!list->is_object()) return wrong(atom, fmt::format("{} must be an object", keyword));
  for (const auto& [name, value] : list->items()) {
    if (value.is_array()) continue;  // needs, which keywords.cc reads
    const Atom wanted = source_.child(atom, value, fmt::format("{}/{}", keyword, name));
    Shape without = any();
    without.objects[0].property(name, kFalse);
    Shape with;
    with.objects = any().objects;
    with.objects[0].property(name, kTrue).required = true;
    with = meet(with, atom_shape(wanted));
    join(without, with);
    shape = meet(shape, without);
  }
}

}  // namespace maru::grammar
