#include "wire/openai_fields.h"

#include <algorithm>
#include <charconv>
#include <string>

namespace weir::wire {
namespace {

constexpr size_t kMaxStopBytes = 1024;
constexpr size_t kMaxGuidedChoices = 1024;
using Kind = OutputFormat::Kind;

void ReadStop(Reader& reader, Generation& out) {
  if (const Json* stop = reader.Get("stop")) {
    const Json list = stop->is_array() ? *stop : Json::array({*stop});
    if (list.size() > kMaxStops) {
      return reader.Bad(
          "stop", fmt::format("has {} strings, at most {} are taken", list.size(), kMaxStops));
    }
    for (const Json& item : list) {
      if (!item.is_string() || item.get_ref<const std::string&>().empty() ||
          item.get_ref<const std::string&>().size() > kMaxStopBytes) {
        return reader.Bad("stop", fmt::format("must hold strings of 1 to {} bytes", kMaxStopBytes));
      }
      out.stop.push_back(item.get<std::string>());
    }
  }
  if (const Json* ids = reader.Get("stop_token_ids")) {
    std::optional<std::vector<int32_t>> list;
    if (ids->is_array() && ids->size() <= kMaxStopTokens) list = TokenIds(*ids);
    if (!list) {
      return reader.Bad("stop_token_ids",
                        fmt::format("must be a list of at most {} token ids", kMaxStopTokens));
    }
    out.stop_token_ids = *std::move(list);
  }
}

// {"50256": -100}; llama.cpp's [[50256, -100]] too.
void ReadLogitBias(Reader& reader, Generation& out) {
  const Json* bias = reader.Get("logit_bias");
  if (bias == nullptr) return;
  const auto bad = [&] {
    reader.Bad(
        "logit_bias",
        fmt::format("must map at most {} token ids to numbers from -100 to 100", kMaxLogitBiases));
  };
  if (!bias->is_structured() || bias->size() > kMaxLogitBiases) return bad();
  const auto add = [&](int64_t id, const Json& value) {
    const double amount = value.is_number() ? value.get<double>() : 1000;
    if (id < 0 || id > INT32_MAX || !(amount >= -100 && amount <= 100)) return false;
    out.logit_bias.emplace_back(static_cast<int32_t>(id), static_cast<float>(amount));
    return true;
  };
  if (bias->is_object()) {
    for (const auto& [key, value] : bias->items()) {
      int64_t id = -1;
      const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
      if (error != std::errc() || end != key.data() + key.size() || !add(id, value)) return bad();
    }
  } else {
    for (const Json& pair : *bias) {
      if (!pair.is_array() || pair.size() != 2 || !pair[0].is_number_unsigned() ||
          pair[0].get<uint64_t>() > INT32_MAX || !add(pair[0].get<int64_t>(), pair[1])) {
        return bad();
      }
    }
  }
}

// One text as a regular expression that matches nothing else.
std::string Literally(std::string_view text) {
  static constexpr std::string_view kSpecial = R"(\^$.|?*+()[]{}/-)";
  std::string out;
  for (const char c : text) {
    if (kSpecial.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

void SetFormat(Reader& reader, Generation& out, Kind kind, std::string_view param,
               std::string text) {
  if (out.format.kind != Kind::kText) {
    return reader.Bad(param, fmt::format("cannot be combined with '{}': the output can have one "
                                         "form",
                                         out.format.param));
  }
  if (text.size() > kMaxFormatBytes) {
    return reader.Bad(
        param, fmt::format("has {} bytes, at most {} are taken", text.size(), kMaxFormatBytes));
  }
  out.format = {kind, std::move(text), reader.Name(param), false};
}

// A schema as JSON, or as a string that holds JSON (vLLM takes both).
void SetSchema(Reader& reader, Generation& out, std::string_view param, const Json& schema) {
  if (schema.is_string()) {
    const Json parsed = Json::parse(schema.get_ref<const std::string&>(), nullptr, false);
    if (!parsed.is_object() && !parsed.is_boolean()) {
      return reader.Bad(param, "must be a JSON schema: an object, or a string that holds one");
    }
    return SetFormat(reader, out, Kind::kJsonSchema, param, schema.get<std::string>());
  }
  if (!schema.is_object() && !schema.is_boolean()) {
    return reader.Bad(param, "must be a JSON schema: an object");
  }
  SetFormat(reader, out, Kind::kJsonSchema, param, Dump(schema));
}

void SetText(Reader& reader, Generation& out, Kind kind, std::string_view param,
             const Json& value) {
  if (!value.is_string() || value.get_ref<const std::string&>().empty()) {
    return reader.Bad(param, "must be a string that is not empty");
  }
  SetFormat(reader, out, kind, param, value.get<std::string>());
}

void SetChoices(Reader& reader, Generation& out, std::string_view param, const Json& value) {
  const bool list = value.is_array() && !value.empty() && value.size() <= kMaxGuidedChoices;
  if (!list || !std::all_of(value.begin(), value.end(),
                            [](const Json& choice) { return choice.is_string(); })) {
    return reader.Bad(param, fmt::format("must be a list of 1 to {} strings", kMaxGuidedChoices));
  }
  std::string pattern;
  for (const Json& choice : value) {
    if (!pattern.empty()) pattern += '|';
    pattern += "(?:" + Literally(choice.get_ref<const std::string&>()) + ")";
  }
  SetFormat(reader, out, Kind::kRegex, param, std::move(pattern));
}

void ReadConstraints(Reader& reader, Generation& out) {
  for (const char* name : {"guided_json", "json_schema"}) {
    if (const Json* schema = reader.Get(name)) SetSchema(reader, out, name, *schema);
  }
  if (const Json* regex = reader.Get("guided_regex")) {
    SetText(reader, out, Kind::kRegex, "guided_regex", *regex);
  }
  for (const char* name : {"guided_grammar", "grammar"}) {
    // llama.cpp's clients send an empty grammar for none.
    const Json* grammar = reader.Get(name);
    if (grammar != nullptr && *grammar != "") SetText(reader, out, Kind::kGrammar, name, *grammar);
  }
  if (const Json* choices = reader.Get("guided_choice")) {
    SetChoices(reader, out, "guided_choice", *choices);
  }
  const Json* structured = reader.Get("structured_outputs");
  if (structured == nullptr) return;
  if (!structured->is_object()) return reader.Bad("structured_outputs", "must be an object");
  for (const auto& [key, value] : structured->items()) {
    const std::string param = "structured_outputs." + key;
    if (value.is_null()) continue;
    if (key == "json") {
      SetSchema(reader, out, param, value);
    } else if (key == "regex") {
      SetText(reader, out, Kind::kRegex, param, value);
    } else if (key == "grammar") {
      SetText(reader, out, Kind::kGrammar, param, value);
    } else if (key == "choice") {
      SetChoices(reader, out, param, value);
    } else if (key == "json_object" && value == true) {
      SetFormat(reader, out, Kind::kJsonObject, param, "");
    } else if (key == "structural_tag") {
      reader.Bad(param, "is not offered by this server: use json, regex, choice or grammar");
    }
  }
}

}  // namespace

void ReadGeneration(Reader& reader, Generation& out) {
  out.model = reader.String("model");
  reader.Number("temperature", 0, 2, out.temperature);
  reader.Number("top_p", 0, 1, out.top_p);
  if (out.top_p <= 0) reader.Bad("top_p", "must be above 0");
  reader.Number("min_p", 0, 1, out.min_p);
  if (const auto k = reader.Integer("top_k", -1, INT32_MAX)) {
    out.top_k = std::max(0, static_cast<int>(*k));  // -1: all, as vLLM's clients send it
  }
  for (const char* name : {"repetition_penalty", "repeat_penalty"}) {
    reader.Number(name, 0, 10, out.repetition_penalty);
    if (out.repetition_penalty <= 0) reader.Bad(name, "must be above 0");
  }
  reader.Number("presence_penalty", -2, 2, out.presence_penalty);
  reader.Number("frequency_penalty", -2, 2, out.frequency_penalty);
  ReadLogitBias(reader, out);
  if (const auto seed = reader.Integer("seed", INT64_MIN, INT64_MAX)) {
    out.seed = static_cast<uint64_t>(*seed);
  }
  ReadStop(reader, out);
  if (const auto n = reader.Integer("n", 1, kMaxChoices)) out.n = static_cast<int>(*n);
  if (const auto best = reader.Integer("best_of", 1, INT32_MAX); best && *best != out.n) {
    reader.Bad("best_of", "is offered only equal to 'n': ask for n choices and take one");
  }
  if (reader.Boolean("use_beam_search", false)) {
    reader.Bad("use_beam_search", "is not offered by this server: sample, with n choices");
  }
  out.ignore_eos = reader.Boolean("ignore_eos", false);
  out.stream = reader.Boolean("stream", false);
  if (const Json* options = reader.Get("stream_options")) {
    if (!options->is_object()) {
      reader.Bad("stream_options", "must be an object");
    } else if (!out.stream) {
      reader.Bad("stream_options", "is only for 'stream': true");
    } else {
      Reader nested(*options, "stream_options.");
      out.include_usage = nested.Boolean("include_usage", false);
      reader.Take(nested);
    }
  }
  if (const auto priority = reader.Integer("priority", INT32_MIN, INT32_MAX)) {
    out.priority = *priority;
  }
  ReadConstraints(reader, out);
}

void ReadResponseFormat(Reader& reader, std::string_view param, bool flat, Generation& out) {
  const Json* format = reader.Get(param);
  if (format == nullptr) return;
  if (!format->is_object()) return reader.Bad(param, "must be an object with a \"type\"");
  Reader nested(*format, reader.Name(param) + ".");
  const std::string type = nested.OneOf("type", {"text", "json_object", "json_schema"}, "");
  if (nested.ok() && type.empty()) nested.Bad("type", "is missing");
  if (type == "json_object") {
    // llama.cpp's form: {"type": "json_object", "schema": {...}}.
    if (const Json* schema = nested.Get("schema"); schema != nullptr) {
      SetSchema(reader, out, std::string(param) + ".schema", *schema);
    } else {
      SetFormat(reader, out, Kind::kJsonObject, param, "");
    }
  } else if (type == "json_schema") {
    const Json* holder = flat ? format : nested.Get("json_schema");
    if (holder == nullptr || !holder->is_object()) {
      nested.Bad("json_schema", "is missing: an object with \"name\" and \"schema\"");
    } else {
      const std::string prefix = std::string(param) + (flat ? "." : ".json_schema.");
      Reader inner(*holder, reader.Name(prefix));
      const bool strict = inner.Boolean("strict", false);
      const Json* schema = inner.Get("schema");
      if (schema == nullptr) {
        inner.Bad("schema", "is missing");
      } else {
        SetSchema(reader, out, prefix + "schema", *schema);
        out.format.strict = strict;
      }
      nested.Take(inner);
    }
  }
  reader.Take(nested);
}

}  // namespace weir::wire
