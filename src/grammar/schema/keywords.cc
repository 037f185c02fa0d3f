// grammar/schema/keywords.cc - the assertions of one schema on each type.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "grammar/formats.h"
#include "grammar/numbers.h"
#include "grammar/regex.h"
#include "grammar/schema/shaper.h"

namespace maru::grammar {
namespace {

constexpr std::array kTypes = {"null", "boolean", "integer", "number", "string", "array", "object"};

}  // namespace

std::optional<uint32_t> Shaper::count(Atom atom, const char* keyword) {
  const Json* value = find(atom, keyword);
  if (value == nullptr) return std::nullopt;
  const double number = value->is_number() ? value->get<double>() : -1;
  if (number < 0 || std::trunc(number) != number) {
    wrong(atom, fmt::format("{} must be a whole number from 0", keyword));
    return std::nullopt;
  }
  return static_cast<uint32_t>(std::min<double>(number, kNoMax - 1));
}

TermId Shaper::pattern(Atom atom, const std::string& source) {
  const auto [found, is_new] = patterns_.try_emplace(source, kNever);
  if (is_new) {
    const auto term = parse_regex(terms_, source, RegexMatch::kSearch);
    if (!term.ok()) {
      fail({term.error().code,
            fmt::format("JSON schema, at {}: {}", source_.schema(atom).path, term.error().message),
            {}});
      return kNever;
    }
    found->second = *term;
  }
  return found->second;
}

Shape Shaper::typed(Atom atom) {
  const Json* type = find(atom, "type");
  std::vector<std::string> types;
  if (type != nullptr && type->is_string()) types.push_back(type->get<std::string>());
  if (type != nullptr && type->is_array()) {
    for (const Json& each : *type) types.push_back(each.is_string() ? each.get<std::string>() : "");
  }
  const bool known = std::ranges::all_of(types, [](const std::string& name) {
    return std::ranges::find(kTypes, name) != kTypes.end();
  });
  if (type != nullptr && (types.empty() || !known)) {
    wrong(atom,
          "type must be null, boolean, integer, number, string, array, object, or a list of these");
    return {};
  }
  const auto has = [&](std::string_view name) {
    return type == nullptr || std::ranges::find(types, name) != types.end();
  };
  Shape shape;
  shape.is_null = has("null");
  shape.is_true = shape.is_false = has("boolean");
  if (has("number") || has("integer")) numbers(atom, !has("number"), shape);
  if (has("string")) strings(atom, shape);
  if (has("array")) shape.arrays.push_back(array(atom));
  if (has("object")) shape.objects.push_back(object(atom));
  std::erase_if(shape.arrays, [this](const ArrayShape& each) { return surely_empty(each); });
  std::erase_if(shape.objects, [this](const ObjectShape& each) { return surely_empty(each); });
  constants(atom, shape);
  return shape;
}

void Shaper::constants(Atom atom, Shape& shape) {
  if (const Json* value = find(atom, "const")) shape = meet(shape, constant(*value));
  const Json* list = find(atom, "enum");
  if (list == nullptr) return;
  if (!list->is_array()) return wrong(atom, "enum must be an array");
  Shape all;
  std::vector<std::string_view> strings;
  for (const Json& value : *list) {
    if (value.is_string()) {
      strings.push_back(value.get_ref<const std::string&>());
    } else {
      join(all, constant(value));
    }
  }
  all.string = terms_.one_of(std::move(strings));
  shape = meet(shape, all);
}

Shape Shaper::constant(const Json& value) {
  Shape shape;
  switch (value.type()) {
    case Json::value_t::null:
      shape.is_null = true;
      break;
    case Json::value_t::boolean:
      (value.get<bool>() ? shape.is_true : shape.is_false) = true;
      break;
    case Json::value_t::string:
      shape.string = terms_.literal(value.get_ref<const std::string&>());
      break;
    case Json::value_t::array: {
      ArrayShape array{.items = kFalse};
      for (const Json& item : value) {
        array.prefix.push_back(source_.ref_of(source_.constant(item)));
      }
      array.n_min = array.n_max = static_cast<uint32_t>(value.size());
      shape.arrays.push_back(std::move(array));
      break;
    }
    case Json::value_t::object: {
      ObjectShape object;
      for (const auto& [name, member] : value.items()) {
        object.property(name, source_.ref_of(source_.constant(member))).required = true;
      }
      shape.objects.push_back(std::move(object));
      break;
    }
    default: {
      const auto decimal = to_decimal(value);
      if (decimal) {
        shape.number = exactly(terms_, *decimal);
      } else {
        fail(Error::unsupported("JSON schema: a number with more than 400 digits"));
      }
    }
  }
  return shape;
}

void Shaper::numbers(Atom atom, bool integer, Shape& shape) {
  std::vector<TermId> all{integer ? integer_term(terms_) : number_term(terms_)};
  struct Keyword {
    const char* name;
    bool is_min;
    bool exclusive;
  };
  constexpr Keyword kBounds[] = {{"minimum", true, false},
                                 {"exclusiveMinimum", true, true},
                                 {"maximum", false, false},
                                 {"exclusiveMaximum", false, true}};
  for (const Keyword& keyword : kBounds) {
    const Json* value = find(atom, keyword.name);
    if (value == nullptr) continue;
    if (value->is_boolean() && keyword.exclusive) continue;  // draft 4: about the other keyword
    const auto decimal = to_decimal(*value);
    if (!decimal) {
      return wrong(atom, fmt::format("{} must be a number of at most 400 digits", keyword.name));
    }
    bool exclusive = keyword.exclusive;
    if (!exclusive) {
      const Json* old = find(atom, keyword.is_min ? "exclusiveMinimum" : "exclusiveMaximum");
      exclusive = old != nullptr && old->is_boolean() && old->get<bool>();
    }
    const Bound bound{*decimal, exclusive};
    all.push_back(keyword.is_min ? at_least(terms_, bound, integer)
                                 : at_most(terms_, bound, integer));
  }
  if (const Json* value = find(atom, "multipleOf")) {
    const auto step = to_decimal(*value);
    if (!step || step->negative || step->is_zero()) {
      return wrong(atom, "multipleOf must be a number above 0");
    }
    const auto term = multiple_of(terms_, *step);
    if (!term) return wrong(atom, "multipleOf has too many digits", true);
    all.push_back(*term);
  }
  shape.number = terms_.both(std::move(all));
}

void Shaper::strings(Atom atom, Shape& shape) {
  std::vector<TermId> all{terms_.any_string()};
  const uint32_t least = count(atom, "minLength").value_or(0);
  const uint32_t most = count(atom, "maxLength").value_or(kNoMax);
  if (least > most) return;
  if (least > 0 || most != kNoMax) all.push_back(terms_.repeat(terms_.any_char(), least, most));
  if (const Json* value = find(atom, "pattern")) {
    if (!value->is_string()) return wrong(atom, "pattern must be a string");
    all.push_back(pattern(atom, value->get<std::string>()));
  }
  if (const Json* value = find(atom, "format")) {
    if (!value->is_string()) return wrong(atom, "format must be a string");
    if (const auto term = format_term(terms_, value->get<std::string>())) all.push_back(*term);
  }
  shape.string = terms_.both(std::move(all));
}

ArrayShape Shaper::array(Atom atom) {
  ArrayShape array;
  const auto ref = [&](const Json& json, const std::string& step) {
    return source_.ref_of(source_.child(atom, json, step));
  };
  const Json* items = find(atom, "items");
  const Json* prefix = find(atom, "prefixItems");
  const char* rest = "items";
  if (items != nullptr && items->is_array()) {  // before 2020-12
    prefix = items;
    items = find(atom, "additionalItems");
    rest = "additionalItems";
  }
  if (prefix != nullptr) {
    if (!prefix->is_array()) wrong(atom, "prefixItems must be an array of schemas");
    for (const Json& each : *prefix) array.prefix.push_back(ref(each, "prefixItems"));
  }
  if (items != nullptr) array.items = ref(*items, rest);
  array.n_min = count(atom, "minItems").value_or(0);
  array.n_max = count(atom, "maxItems").value_or(kNoMax);
  if (find(atom, "contains") != nullptr) {
    array.n_contains_min = count(atom, "minContains").value_or(1);
    if (array.n_contains_min > 0) array.contains = source_.ref_of(child(atom, "contains"));
    if (find(atom, "maxContains") != nullptr) wrong(atom, "maxContains is not supported", true);
  }
  if (find(atom, "unevaluatedItems") != nullptr) {
    wrong(atom, "unevaluatedItems is not supported", true);
  }
  const Json* unique = find(atom, "uniqueItems");
  if (unique != nullptr && *unique == true && array.n_max > 1) {
    wrong(atom, "uniqueItems is not supported", true);
  }
  return array;
}

ObjectShape Shaper::object(Atom atom) {
  ObjectShape object;
  Ref additional = kTrue;
  if (find(atom, "additionalProperties") != nullptr) {
    additional = source_.ref_of(child(atom, "additionalProperties"));
  }
  object.regions.push_back({terms_.any_string(), additional});
  if (const Json* properties = find(atom, "properties")) {
    if (!properties->is_object()) wrong(atom, "properties must be an object");
    if (properties->is_object()) {
      for (const auto& [name, json] : properties->items()) {
        terms_.budget().step();
        const Atom part = source_.child(atom, json, "properties/" + name);
        object.properties.push_back({name, source_.ref_of(part), false});
      }
      std::ranges::sort(object.properties, {}, &ObjectShape::Property::name);
    }
  }
  add_patterns(atom, object);
  std::erase_if(object.regions, [](const auto& region) { return region.ref == kFalse; });
  if (const Json* required = find(atom, "required")) {
    if (required->is_array()) {
      for (const Json& name : *required) {
        if (!name.is_string()) wrong(atom, "required must be an array of names");
        if (error_) return object;
        const auto text = name.get<std::string>();
        object.property(text, ref_for(object, text)).required = true;
      }
    } else if (!required->is_boolean()) {  // draft 3 had a boolean there
      wrong(atom, "required must be an array of names");
    }
  }
  add_dependencies(atom, "dependentRequired", object);
  add_dependencies(atom, "dependencies", object);
  object.n_min = count(atom, "minProperties").value_or(0);
  object.n_max = count(atom, "maxProperties").value_or(kNoMax);
  if (find(atom, "propertyNames") != nullptr) {
    const TermId names = shape(source_.ref_of(child(atom, "propertyNames"))).string;
    for (auto& property : object.properties) {
      if (!terms_.matches(names, property.name)) property.ref = kFalse;
    }
    for (auto& region : object.regions) region.names = terms_.both({region.names, names});
    std::erase_if(object.regions,
                  [&](const auto& region) { return !terms_.is_live(region.names); });
  }
  const Json* unevaluated = find(atom, "unevaluatedProperties");
  if (unevaluated != nullptr && *unevaluated != true) {
    wrong(atom, "unevaluatedProperties is not supported", true);
  }
  return object;
}

// Each pattern parts the names that are not declared into those that match it and those that don't.
void Shaper::add_patterns(Atom atom, ObjectShape& object) {
  const Json* patterns = find(atom, "patternProperties");
  if (patterns == nullptr) return;
  if (!patterns->is_object()) return wrong(atom, "patternProperties must be an object");
  const Ref additional = object.regions[0].ref;
  std::vector<bool> matched{false};  // of each region: whether any pattern so far did
  for (const auto& [source, json] : patterns->items()) {
    const TermId names = terms_.both({terms_.any_string(), pattern(atom, source)});
    const Ref ref = source_.ref_of(source_.child(atom, json, "patternProperties"));
    if (error_) return;
    for (auto& property : object.properties) {
      if (terms_.matches(names, property.name)) property.ref = source_.both(property.ref, ref);
    }
    std::vector<ObjectShape::Region> parts;
    std::vector<bool> parts_matched;
    for (size_t i = 0; i < object.regions.size(); ++i) {
      const auto& region = object.regions[i];
      const TermId in = terms_.both({region.names, names});
      const TermId out = terms_.minus(region.names, names);
      if (terms_.is_live(in)) {
        parts.push_back({in, matched[i] ? source_.both(region.ref, ref) : ref});
        parts_matched.push_back(true);
      }
      if (terms_.is_live(out)) {
        parts.push_back({out, matched[i] ? region.ref : additional});
        parts_matched.push_back(matched[i]);
      }
    }
    object.regions = std::move(parts);
    matched = std::move(parts_matched);
    if (object.regions.size() > kRegionsMax) {
      return fail(Error::exhausted(fmt::format(
          "JSON schema, at {}: patternProperties part the names into more than {} kinds",
          source_.schema(atom).path, kRegionsMax)));
    }
  }
}

void Shaper::add_dependencies(Atom atom, const char* keyword, ObjectShape& object) {
  const Json* list = find(atom, keyword);
  if (list == nullptr) return;
  if (!list->is_object()) return wrong(atom, fmt::format("{} must be an object", keyword));
  for (const auto& [name, needed] : list->items()) {
    if (!needed.is_array()) continue;  // a schema: Shaper::dependent_schemas()
    for (const Json& other : needed) {
      if (!other.is_string()) return wrong(atom, fmt::format("{} must name properties", keyword));
      const auto text = other.get<std::string>();
      object.property(name, ref_for(object, name));
      object.property(text, ref_for(object, text));
      object.needs.emplace_back(name, text);
    }
  }
}

}  // namespace maru::grammar
