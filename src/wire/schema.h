// One table of fields per message gives its JSON writer, its strict reader and its JSON Schema.
//
//   struct Team { std::string name; int weight = 1; };
//   template <class V> void Fields(V& v, Owned<V, Team>& t) {
//     v("name", t.name, "unique in the lab", kRequired);
//     v("weight", t.weight, "share among siblings");
//   }
//   WEIR_MESSAGE(Team);                          // beside the type, in its namespace
//
//   std::string text = ToText(team);             // {"name":"a","weight":1}
//   Result<Team> team = FromText<Team>(text);    // "weight: expected an integer, got a string"
//   nlohmann::json schema = SchemaOf<Team>();
//
// Field types: bool, integers, double, std::string, Duration and Time (as *_us integers: name the
// field so), MicroUsd, enums with WEIR_ENUM, nlohmann::json (anything), other messages, and
// std::optional, std::vector, std::map<std::string, _> of these.
// Reading is strict: an unknown field, a missing required one, a wrong type, a number out of range
// are kInvalidArgument with the path ("slots.min"). Absent fields keep the struct's default.
// Writing leaves out nothing but empty optionals, so that readers in other languages see one shape.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace weir::wire {

using Json = nlohmann::json;

enum Need { kOptional, kRequired };

// The type a Fields function takes: const when the visitor only reads the message.
template <class V, class T>
using Owned = std::conditional_t<V::kReadsMessage, const T, T>;

// Enums: specialise through WEIR_ENUM(Type, {Type::kA, "a"}, {Type::kB, "b"}); at namespace scope.
template <class E>
struct EnumNames;  // static constexpr std::pair<E, const char*> kNames[]

template <class E>
std::string_view NameOf(E value) {
  for (const auto& [e, name] : EnumNames<E>::kNames) {
    if (e == value) return name;
  }
  return "?";
}
template <class E>
std::optional<E> EnumFrom(std::string_view text) {
  for (const auto& [e, name] : EnumNames<E>::kNames) {
    if (text == name) return e;
  }
  return std::nullopt;
}

#define WEIR_ENUM(Type, ...)                                                \
  template <>                                                               \
  struct weir::wire::EnumNames<Type> {                                      \
    static constexpr std::pair<Type, const char*> kNames[] = {__VA_ARGS__}; \
  }

template <class T>
inline constexpr bool kIsMessage = false;

namespace schema_internal {

// A message's codec. Compiled once for the messages of headers (see wire/instantiate.h): written
// out in each of the files that use them, they were a fifth of the whole build.
template <class T>
Json WriteMessage(const T& value);
template <class T>
Status ReadMessage(const Json& json, T& value, const std::string& path);
template <class T>
Json DescribeMessage();

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};
template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <class T>
struct IsMap : std::false_type {};
template <class T>
struct IsMap<std::map<std::string, T>> : std::true_type {};

struct Writer;
struct Reader;
struct Describer;

template <class T>
Json Write(const T& value);
template <class T>
Status Read(const Json& json, T& value, const std::string& path);
template <class T>
Json Describe();

struct Writer {
  static constexpr bool kReadsMessage = true;
  Json out = Json::object();
  template <class T>
  void operator()(const char* name, const T& value, const char* /*doc*/ = "", Need = kOptional) {
    if constexpr (IsOptional<T>::value) {
      if (value) out[name] = Write(*value);
    } else {
      out[name] = Write(value);
    }
  }
};

struct Reader {
  static constexpr bool kReadsMessage = false;
  const Json& in;
  const std::string& path;
  Status status = {};
  size_t seen = 0;
  std::vector<std::string_view> known = {};
  std::string At(std::string_view name) const {
    return path.empty() ? std::string(name) : path + "." + std::string(name);
  }
  // Null where there is nothing to read: absent (an error if required), or null where that may be.
  const Json* Find(const char* name, Need need, bool may_be_null);
  Status Unknown() const;  // names a field of `in` that is not known, if there is one
  template <class T>
  void operator()(const char* name, T& value, const char* /*doc*/ = "", Need need = kOptional) {
    if (const Json* field = Find(name, need, IsOptional<T>::value))
      status = Read(*field, value, At(name));
  }
};

struct Describer {
  static constexpr bool kReadsMessage = false;
  Json properties = Json::object();
  Json required = Json::array();
  template <class T>
  void operator()(const char* name, T& /*value*/, const char* doc = "", Need need = kOptional) {
    Add(name, Describe<T>(), doc, need);
  }
  void Add(const char* name, Json schema, const char* doc, Need need);
  Json Take() &&;
};

Error WrongType(const std::string& path, std::string_view expected, const Json& got);

template <class T>
Json Write(const T& value) {
  if constexpr (std::is_same_v<T, Json>) {
    return value;
  } else if constexpr (std::is_same_v<T, Duration> || std::is_same_v<T, Time>) {
    return value.us;
  } else if constexpr (std::is_same_v<T, MicroUsd>) {
    return value.micro;
  } else if constexpr (std::is_enum_v<T>) {
    return std::string(NameOf(value));
  } else if constexpr (IsOptional<T>::value) {
    return value ? Write(*value) : Json(nullptr);
  } else if constexpr (IsVector<T>::value) {
    Json out = Json::array();
    for (const auto& element : value) out.push_back(Write(element));
    return out;
  } else if constexpr (IsMap<T>::value) {
    Json out = Json::object();
    for (const auto& [key, element] : value) out[key] = Write(element);
    return out;
  } else if constexpr (kIsMessage<T>) {
    return WriteMessage(value);
  } else {
    return value;
  }
}

template <class T>
Json WriteMessage(const T& value) {
  Writer writer;
  Fields(writer, value);
  return std::move(writer.out);
}

template <class T>
Status Read(const Json& json, T& value, const std::string& path) {
  if constexpr (std::is_same_v<T, Json>) {
    value = json;
  } else if constexpr (std::is_same_v<T, Duration> || std::is_same_v<T, Time>) {
    return Read(json, value.us, path);
  } else if constexpr (std::is_same_v<T, MicroUsd>) {
    return Read(json, value.micro, path);
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!json.is_boolean()) return WrongType(path, "true or false", json);
    value = json.template get<bool>();
  } else if constexpr (std::is_enum_v<T>) {
    if (!json.is_string()) return WrongType(path, "a string", json);
    const std::string& text = json.template get_ref<const std::string&>();
    const std::optional<T> parsed = EnumFrom<T>(text);
    if (!parsed) {
      std::string names;
      for (const auto& [e, name] : EnumNames<T>::kNames)
        names += (names.empty() ? "" : ", ") + std::string(name);
      return Error(Code::kInvalidArgument, path + ": \"" + text + "\" is not one of " + names);
    }
    value = *parsed;
  } else if constexpr (std::is_integral_v<T>) {
    if (!json.is_number_integer()) return WrongType(path, "an integer", json);
    const bool fits =
        json.is_number_unsigned()
            ? json.template get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<T>::max())
            : (std::is_signed_v<T> &&
               json.template get<int64_t>() >=
                   static_cast<int64_t>(std::numeric_limits<T>::min()) &&
               json.template get<int64_t>() <= static_cast<int64_t>(std::numeric_limits<T>::max()));
    if (!fits) return Error(Code::kInvalidArgument, path + ": " + json.dump() + " is out of range");
    value = json.template get<T>();
  } else if constexpr (std::is_floating_point_v<T>) {
    if (!json.is_number()) return WrongType(path, "a number", json);
    value = json.template get<T>();
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (!json.is_string()) return WrongType(path, "a string", json);
    value = json.template get<std::string>();
  } else if constexpr (IsOptional<T>::value) {
    if (json.is_null()) {
      value.reset();
      return {};
    }
    return Read(json, value.emplace(), path);
  } else if constexpr (IsVector<T>::value) {
    if (!json.is_array()) return WrongType(path, "an array", json);
    value.clear();
    for (size_t i = 0; i < json.size(); ++i) {
      value.emplace_back();
      TRY(Read(json[i], value.back(), path + "[" + std::to_string(i) + "]"));
    }
  } else if constexpr (IsMap<T>::value) {
    if (!json.is_object()) return WrongType(path, "an object", json);
    value.clear();
    for (const auto& [key, element] : json.items())
      TRY(Read(element, value[key], path + "." + key));
  } else {
    static_assert(kIsMessage<T>, "not a message: see WEIR_MESSAGE");
    return ReadMessage(json, value, path);
  }
  return {};
}

template <class T>
Status ReadMessage(const Json& json, T& value, const std::string& path) {
  if (!json.is_object()) return WrongType(path, "an object", json);
  Reader reader{json, path};
  Fields(reader, value);
  TRY(std::move(reader.status));
  if (reader.seen != json.size()) return reader.Unknown();
  return {};
}

template <class T>
Json Describe() {
  if constexpr (std::is_same_v<T, Json>)
    return Json::object();
  else if constexpr (std::is_same_v<T, Duration>)
    return {{"type", "integer"}, {"format", "int64"}, {"x-unit", "microseconds"}};
  else if constexpr (std::is_same_v<T, Time>)
    return {
        {"type", "integer"}, {"format", "int64"}, {"x-unit", "microseconds since 1970, 0 = never"}};
  else if constexpr (std::is_same_v<T, MicroUsd>)
    return {{"type", "integer"}, {"format", "int64"}, {"x-unit", "millionths of a US dollar"}};
  else if constexpr (std::is_same_v<T, bool>)
    return {{"type", "boolean"}};
  else if constexpr (std::is_enum_v<T>) {
    Json names = Json::array();
    for (const auto& [e, name] : EnumNames<T>::kNames) names.push_back(name);
    return {{"type", "string"}, {"enum", names}};
  } else if constexpr (std::is_integral_v<T>)
    return {{"type", "integer"}};
  else if constexpr (std::is_floating_point_v<T>)
    return {{"type", "number"}};
  else if constexpr (std::is_same_v<T, std::string>)
    return {{"type", "string"}};
  else if constexpr (IsOptional<T>::value)
    return Describe<typename T::value_type>();
  else if constexpr (IsVector<T>::value)
    return {{"type", "array"}, {"items", Describe<typename T::value_type>()}};
  else if constexpr (IsMap<T>::value)
    return {{"type", "object"}, {"additionalProperties", Describe<typename T::mapped_type>()}};
  else
    return DescribeMessage<T>();
}

template <class T>
Json DescribeMessage() {
  Describer describer;
  T value{};
  Fields(describer, value);
  return std::move(describer).Take();
}

}  // namespace schema_internal
}  // namespace weir::wire

// After a message's Fields, at global scope. In headers WEIR_MESSAGE: its codec is compiled in the
// one .cc that includes the header after wire/instantiate.h. In a .cc of its own
// WEIR_LOCAL_MESSAGE.
#define WEIR_LOCAL_MESSAGE(Type) \
  template <>                    \
  inline constexpr bool weir::wire::kIsMessage<Type> = true
#define WEIR_MESSAGE_CODEC(Prefix, Type)                                                           \
  Prefix template ::weir::wire::Json weir::wire::schema_internal::WriteMessage<Type>(const Type&); \
  Prefix template ::weir::Status weir::wire::schema_internal::ReadMessage<Type>(                   \
      const ::weir::wire::Json&, Type&, const std::string&);                                       \
  Prefix template ::weir::wire::Json weir::wire::schema_internal::DescribeMessage<Type>()
#define WEIR_MESSAGE(Type)  \
  WEIR_LOCAL_MESSAGE(Type); \
  WEIR_MESSAGE_CODEC(extern, Type)

namespace weir::wire {

// A message as JSON.
template <class T>
Json ToJson(const T& message) {
  return schema_internal::Write(message);
}
template <class T>
std::string ToText(const T& message) {
  return ToJson(message).dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Parses JSON text of at most kMaxDepth levels. Errors name the byte where it stops being JSON.
Result<Json> ParseJson(std::string_view text);
inline constexpr int kMaxDepth = 64;

template <class T>
Result<T> FromJson(const Json& json, const std::string& path = "") {
  T value{};
  TRY(schema_internal::Read(json, value, path));
  return value;
}
template <class T>
Result<T> FromText(std::string_view text) {
  return FromJson<T>(TRY(ParseJson(text)));
}

// JSON Schema (2020-12, as OpenAPI 3.1 uses it), nested messages inline.
template <class T>
Json SchemaOf() {
  return schema_internal::Describe<T>();
}

}  // namespace weir::wire
