// Tokenizers from and to files: parts, tokenizer.json, GGUF metadata.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "engine/model/gguf.h"
#include "engine/model/pretokenizer.h"
#include "engine/model/tokenizer.h"
#include "engine/model/tokenizer_impl.h"
#include "engine/model/utf8.h"

namespace weir::model {
namespace {

using Json = nlohmann::json;
using TokenId = Tokenizer::TokenId;

constexpr PreTokenizer kPreTokenizers[] = {PreTokenizer::kGpt2, PreTokenizer::kLlama3,
                                           PreTokenizer::kQwen2};
// GGUF's numbers for TokenKind, in its order.
constexpr int32_t kGgufKinds[] = {1, 2, 3, 4, 6, 5};

Error BadJson(std::string what) {
  return Error(Code::kInvalidArgument, "tokenizer.json: " + std::move(what));
}
Error NotOffered(std::string what) {
  return Error(Code::kUnimplemented, "tokenizer.json: " + std::move(what))
      .Hint(
          "byte-level BPE tokenizers (GPT-2, Llama 3 and kin) are read from tokenizer.json, "
          "SentencePiece ones from GGUF");
}

const Json* Member(const Json& json, const char* name) {
  if (!json.is_object()) return nullptr;
  const auto it = json.find(name);
  return it == json.end() || it->is_null() ? nullptr : &*it;
}
std::string StringOr(const Json* json, std::string otherwise) {
  return json != nullptr && json->is_string() ? json->get<std::string>() : otherwise;
}
bool BoolOr(const Json* json, bool otherwise) {
  return json != nullptr && json->is_boolean() ? json->get<bool>() : otherwise;
}
Result<TokenId> IdFrom(const Json& json, std::string_view field) {
  if (!json.is_number_unsigned() || json.get<uint64_t>() >= kMaxVocabulary) {
    return BadJson(fmt::format("{} has an id that is no integer below {}", field, kMaxVocabulary));
  }
  return json.get<TokenId>();
}

// What pre_tokenizer says, if it is one that we have.
Result<PreTokenizer> PreTokenizerFrom(const Json* json) {
  if (json == nullptr) return NotOffered("no pre_tokenizer");
  std::vector<const Json*> steps = {json};
  if (StringOr(Member(*json, "type"), "") == "Sequence") {
    steps.clear();
    const Json* list = Member(*json, "pretokenizers");
    if (list == nullptr || !list->is_array()) return BadJson("pre_tokenizer has no pretokenizers");
    for (const Json& step : *list) steps.push_back(&step);
  }
  std::optional<PreTokenizer> split;
  for (size_t i = 0; i < steps.size(); ++i) {
    const std::string type = StringOr(Member(*steps[i], "type"), "");
    if (type == "Split" && i == 0) {
      const Json* pattern = Member(*steps[i], "pattern");
      const std::string regex = pattern == nullptr ? "" : StringOr(Member(*pattern, "Regex"), "");
      for (const PreTokenizer pre : kPreTokenizers) {
        if (regex == PatternOf(pre)) split = pre;
      }
      if (!split) return NotOffered(fmt::format("the split pattern {:.120}", regex));
    } else if (type == "ByteLevel" && i + 1 == steps.size()) {
      if (BoolOr(Member(*steps[i], "add_prefix_space"), true)) {
        return NotOffered("pre_tokenizer ByteLevel with add_prefix_space");
      }
      const bool uses_regex = BoolOr(Member(*steps[i], "use_regex"), true);
      if (uses_regex == split.has_value()) return NotOffered("this combination of pre_tokenizers");
      return split.value_or(PreTokenizer::kGpt2);
    } else {
      return NotOffered(fmt::format("pre_tokenizer {:.40}", type));
    }
  }
  return NotOffered("a pre_tokenizer without ByteLevel");
}

// The token that a TemplateProcessing puts before a single text.
std::optional<std::string> TemplateBos(const Json* json) {
  if (json == nullptr) return std::nullopt;
  if (const Json* list = Member(*json, "processors"); list != nullptr && list->is_array()) {
    for (const Json& step : *list) {
      if (std::optional<std::string> found = TemplateBos(&step)) return found;
    }
  }
  const Json* single = Member(*json, "single");
  if (single == nullptr || !single->is_array() || single->empty()) return std::nullopt;
  const Json* special = Member(single->front(), "SpecialToken");
  if (special == nullptr) return std::nullopt;
  const std::string id = StringOr(Member(*special, "id"), "");
  return id.empty() ? std::nullopt : std::optional(id);
}

// "left right", or ["left", "right"].
std::optional<std::pair<std::string, std::string>> SplitMerge(const Json& json) {
  if (json.is_string()) {
    const auto& text = json.get_ref<const std::string&>();
    const size_t space = text.find(' ', 1);
    if (text.empty() || space == std::string::npos) return std::nullopt;
    return std::pair(text.substr(0, space), text.substr(space + 1));
  }
  if (json.is_array() && json.size() == 2 && json[0].is_string() && json[1].is_string()) {
    return std::pair(json[0].get<std::string>(), json[1].get<std::string>());
  }
  return std::nullopt;
}

// tokens[id] for every id; holes are empty.
struct RawVocabulary {
  std::vector<std::string> text;  // in the byte alphabet
  std::map<std::string, TokenId, std::less<>> ids;
};

Result<RawVocabulary> VocabularyFrom(const Json& vocabulary, const Json* added) {
  RawVocabulary raw;
  const auto set = [&](TokenId id, std::string text) -> Status {
    if (raw.text.size() <= static_cast<size_t>(id)) raw.text.resize(static_cast<size_t>(id) + 1);
    std::string& slot = raw.text[static_cast<size_t>(id)];
    if (!slot.empty() && slot != text) return BadJson(fmt::format("id {} stands twice", id));
    raw.ids[text] = id;
    slot = std::move(text);
    return {};
  };
  for (const auto& [text, id] : vocabulary.items()) TRY(set(TRY(IdFrom(id, "model.vocab")), text));
  // A handful of entries must not make millions of empty tokens.
  const size_t most = 2 * raw.text.size() + 65536;
  if (raw.text.size() > 16 * raw.ids.size() + 65536) return BadJson("model.vocab is mostly holes");
  if (added == nullptr) return raw;
  if (!added->is_array()) return BadJson("added_tokens is no list");
  for (const Json& entry : *added) {
    const Json* id = Member(entry, "id");
    const std::string content = StringOr(Member(entry, "content"), "");
    if (id == nullptr || content.empty()) return BadJson("an added token lacks id or content");
    const TokenId number = TRY(IdFrom(*id, "added_tokens"));
    if (static_cast<size_t>(number) > most) {
      return BadJson(fmt::format("added token id {} is far beyond the vocabulary", number));
    }
    TRY(set(number, content));
  }
  return raw;
}

}  // namespace

Result<Tokenizer> Tokenizer::FromByteBpe(ByteBpe parts) {
  auto impl = std::make_unique<Impl>();
  const size_t n = parts.tokens.size();
  const auto known = [n](TokenId id) { return id >= 0 && static_cast<size_t>(id) < n; };
  impl->bytes = std::move(parts.tokens);
  impl->kinds.assign(n, TokenKind::kNormal);
  for (const auto& [list, kind] : {std::pair(&parts.special, TokenKind::kControl),
                                   std::pair(&parts.user_defined, TokenKind::kUserDefined)}) {
    for (const TokenId id : *list) {
      if (!known(id)) {
        return Error(Code::kInvalidArgument,
                     fmt::format("tokenizer: added token {} of {} tokens", id, n));
      }
      impl->kinds[static_cast<size_t>(id)] = kind;
    }
  }
  impl->pre = parts.pre;
  impl->bos = parts.bos;
  impl->eos = parts.eos;
  impl->add_bos = parts.add_bos && parts.bos;
  impl->whole_words = parts.whole_words;
  impl->merge_pairs = std::move(parts.merges);
  impl->map.Build(impl->bytes);
  for (size_t rank = 0; rank < impl->merge_pairs.size(); ++rank) {
    const auto [left, right] = impl->merge_pairs[rank];
    if (!known(left) || !known(right)) {
      return Error(
          Code::kInvalidArgument,
          fmt::format("tokenizer: merge {} joins ids {} and {} of {}", rank, left, right, n));
    }
    const TokenId joined = impl->map.Find(impl->bytes[static_cast<size_t>(left)] +
                                          impl->bytes[static_cast<size_t>(right)]);
    if (joined < 0) {
      return Error(
          Code::kInvalidArgument,
          fmt::format("tokenizer: merge {} ({} and {}) makes no token", rank, left, right));
    }
    impl->merge_joined.push_back(joined);
  }
  TRY(impl->Prepare());
  return Tokenizer(std::move(impl));
}

Result<Tokenizer> Tokenizer::FromHfJson(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return BadJson("not a JSON object");
  const Json* model = Member(json, "model");
  if (model == nullptr) return BadJson("no model");
  const std::string type = StringOr(Member(*model, "type"), "BPE");
  if (type != "BPE") return NotOffered(fmt::format("model type {:.40}", type));
  if (BoolOr(Member(*model, "byte_fallback"), false)) return NotOffered("byte_fallback");
  if (!StringOr(Member(*model, "continuing_subword_prefix"), "").empty() ||
      !StringOr(Member(*model, "end_of_word_suffix"), "").empty()) {
    return NotOffered("subword prefixes and suffixes");
  }
  if (Member(json, "normalizer") != nullptr) return NotOffered("a normalizer");
  const Json* vocabulary = Member(*model, "vocab");
  const Json* merges = Member(*model, "merges");
  if (vocabulary == nullptr || !vocabulary->is_object()) return BadJson("no model.vocab");
  if (merges == nullptr || !merges->is_array()) return BadJson("no model.merges");

  const Json* added = Member(json, "added_tokens");
  RawVocabulary raw = TRY(VocabularyFrom(*vocabulary, added));
  ByteBpe parts;
  parts.pre = TRY(PreTokenizerFrom(Member(json, "pre_tokenizer")));
  parts.whole_words = BoolOr(Member(*model, "ignore_merges"), false);
  for (size_t i = 0; i < merges->size(); ++i) {
    const auto merge = SplitMerge((*merges)[i]);
    if (!merge) return BadJson(fmt::format("merge {} is no pair of tokens", i));
    const auto left = raw.ids.find(merge->first), right = raw.ids.find(merge->second);
    if (left == raw.ids.end() || right == raw.ids.end()) {
      return BadJson(fmt::format("merge {} names a token that is not in model.vocab", i));
    }
    parts.merges.emplace_back(left->second, right->second);
  }
  std::vector<bool> literal(raw.text.size());
  if (added != nullptr) {
    for (const Json& entry : *added) {
      const TokenId id = TRY(IdFrom(*Member(entry, "id"), "added_tokens"));
      literal[static_cast<size_t>(id)] = true;
      const bool special = BoolOr(Member(entry, "special"), false);
      (special ? parts.special : parts.user_defined).push_back(id);
    }
  }
  for (size_t id = 0; id < raw.text.size(); ++id) {
    std::optional<std::string> bytes;
    if (!literal[id]) bytes = FromByteAlphabet(raw.text[id]);
    parts.tokens.push_back(bytes ? *std::move(bytes) : raw.text[id]);
  }
  if (const std::optional<std::string> bos = TemplateBos(Member(json, "post_processor"))) {
    const auto it = raw.ids.find(*bos);
    if (it == raw.ids.end()) return BadJson("post_processor names a token that does not exist");
    parts.bos = it->second;
    parts.add_bos = true;
  }
  return FromByteBpe(std::move(parts));
}

Result<std::string> Tokenizer::ToHfJson() const {
  const Impl& t = *impl_;
  if (t.sentence_piece) {
    return Error(Code::kUnimplemented,
                 "a SentencePiece tokenizer cannot be written as tokenizer.json")
        .Hint("export to GGUF");
  }
  using Ordered = nlohmann::ordered_json;
  Ordered vocabulary = Ordered::object(), added = Ordered::array(), merges = Ordered::array();
  std::vector<std::string> text(t.bytes.size());
  for (size_t id = 0; id < t.bytes.size(); ++id) {
    const bool literal =
        t.kinds[id] == TokenKind::kControl || t.kinds[id] == TokenKind::kUserDefined;
    text[id] = literal ? t.bytes[id] : ToByteAlphabet(t.bytes[id]);
    if (literal) {
      added.push_back({{"id", id},
                       {"content", text[id]},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", t.kinds[id] == TokenKind::kControl}});
    }
    // push_back, not operator[]: an ordered_json object searches linearly for its keys.
    if (!text[id].empty()) vocabulary.get_ref<Ordered::object_t&>().emplace_back(text[id], id);
  }
  for (const auto& [left, right] : t.merge_pairs) {
    merges.push_back(text[static_cast<size_t>(left)] + " " + text[static_cast<size_t>(right)]);
  }
  Ordered byte_level = {{"type", "ByteLevel"},
                        {"add_prefix_space", false},
                        {"trim_offsets", true},
                        {"use_regex", t.pre == PreTokenizer::kGpt2}};
  Ordered pre = byte_level;
  if (t.pre != PreTokenizer::kGpt2) {
    pre = {{"type", "Sequence"},
           {"pretokenizers",
            {{{"type", "Split"},
              {"pattern", {{"Regex", PatternOf(t.pre)}}},
              {"behavior", "Isolated"},
              {"invert", false}},
             byte_level}}};
  }
  Ordered post = byte_level;
  post["use_regex"] = true;
  if (t.add_bos) {
    const std::string& name = text[static_cast<size_t>(*t.bos)];
    const Ordered a = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
    const Ordered b = {{"Sequence", {{"id", "B"}, {"type_id", 1}}}};
    const auto bos = [&](int type) -> Ordered {
      return {{"SpecialToken", {{"id", name}, {"type_id", type}}}};
    };
    post = {{"type", "TemplateProcessing"},
            {"single", Ordered::array({bos(0), a})},
            {"pair", Ordered::array({bos(0), a, bos(1), b})},
            {"special_tokens",
             {{name,
               {{"id", name},
                {"ids", Ordered::array({*t.bos})},
                {"tokens", Ordered::array({name})}}}}}};
  }
  Ordered json = {{"version", "1.0"},
                  {"truncation", nullptr},
                  {"padding", nullptr},
                  {"added_tokens", std::move(added)},
                  {"normalizer", nullptr},
                  {"pre_tokenizer", std::move(pre)},
                  {"post_processor", std::move(post)},
                  {"decoder", byte_level},
                  {"model",
                   {{"type", "BPE"},
                    {"dropout", nullptr},
                    {"unk_token", nullptr},
                    {"continuing_subword_prefix", nullptr},
                    {"end_of_word_suffix", nullptr},
                    {"fuse_unk", false},
                    {"byte_fallback", false},
                    {"ignore_merges", t.whole_words},
                    {"vocab", std::move(vocabulary)},
                    {"merges", std::move(merges)}}}};
  return json.dump(1, ' ', false, Ordered::error_handler_t::replace) + "\n";
}

namespace {

Result<PreTokenizer> PreTokenizerOfGguf(const GgufFile& file) {
  const std::string_view name = TRY(file.String("tokenizer.ggml.pre"))
  .value_or("gpt-2");
  if (name == "gpt-2" || name == "mpt" || name == "olmo") return PreTokenizer::kGpt2;
  if (name == "llama-bpe" || name == "llama3" || name == "llama-v3") return PreTokenizer::kLlama3;
  if (name == "qwen2") return PreTokenizer::kQwen2;
  return Error(Code::kUnimplemented,
               fmt::format("tokenizer.ggml.pre is {}; offered are gpt-2, mpt, olmo, llama-bpe and "
                           "qwen2",
                           name.substr(0, 40)));
}

Result<std::optional<TokenId>> GgufId(const GgufFile& file, std::string_view key) {
  const std::optional<int64_t> id = TRY(file.Int(key));
  if (!id) return std::optional<TokenId>();
  if (*id < 0 || *id >= kMaxVocabulary) {
    return Error(Code::kInvalidArgument, fmt::format("{} is {}, no token", key, *id));
  }
  return std::optional<TokenId>(static_cast<TokenId>(*id));
}

// "<0x0A>", as SentencePiece names its byte tokens.
std::optional<char> ByteOfName(std::string_view name) {
  if (name.size() != 6 || !name.starts_with("<0x") || name[5] != '>') return std::nullopt;
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  };
  const int high = digit(name[3]), low = digit(name[4]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<char>(high * 16 + low);
}

std::string WithSpaces(std::string_view piece) {
  std::string out;
  for (size_t i = 0; i < piece.size();) {
    if (piece.compare(i, kWordMark.size(), kWordMark) == 0) {
      out += ' ';
      i += kWordMark.size();
    } else {
      out += piece[i++];
    }
  }
  return out;
}

}  // namespace

Result<Tokenizer> Tokenizer::FromGguf(const GgufFile& file) {
  const auto bad = [&](std::string what) -> Error {
    return Error(Code::kInvalidArgument, fmt::format("{}: {}", file.name(), what));
  };
  const std::string_view kind = TRY(file.String("tokenizer.ggml.model"))
  .value_or("");
  if (kind != "gpt2" && kind != "llama") {
    return Error(Code::kUnimplemented,
                 fmt::format("{}: tokenizer.ggml.model is \"{}\"; gpt2 and llama are offered",
                             file.name(), kind.substr(0, 40)));
  }
  const GgufArray* tokens = TRY(file.Array("tokenizer.ggml.tokens"));
  const GgufArray* types = TRY(file.Array("tokenizer.ggml.token_type"));
  if (tokens == nullptr || tokens->element != GgufType::kString || tokens->count == 0 ||
      tokens->count > kMaxVocabulary) {
    return bad("tokenizer.ggml.tokens is missing or no list of tokens");
  }
  if (types != nullptr && (types->count != tokens->count || types->element == GgufType::kString)) {
    return bad("tokenizer.ggml.token_type does not have one number for each token");
  }
  auto impl = std::make_unique<Impl>();
  impl->sentence_piece = kind == "llama";
  impl->bos = TRY(GgufId(file, "tokenizer.ggml.bos_token_id"));
  impl->eos = TRY(GgufId(file, "tokenizer.ggml.eos_token_id"));
  impl->unknown = TRY(GgufId(file, "tokenizer.ggml.unknown_token_id"));
  impl->add_bos = TRY(file.Bool("tokenizer.ggml.add_bos_token"))
  .value_or(impl->sentence_piece) && impl->bos;
  for (uint64_t id = 0; id < tokens->count; ++id) {
    const std::string_view text = tokens->strings[id];
    TokenKind token_kind = TokenKind::kNormal;
    if (types != nullptr) {
      const auto number = static_cast<int32_t>(std::clamp<int64_t>(types->IntAt(id), 0, 100));
      const auto it = std::find(std::begin(kGgufKinds), std::end(kGgufKinds), number);
      if (it == std::end(kGgufKinds)) {
        return bad(fmt::format("tokenizer.ggml.token_type of {} is {}", id, number));
      }
      token_kind = static_cast<TokenKind>(it - std::begin(kGgufKinds));
    }
    const bool literal = token_kind == TokenKind::kControl || token_kind == TokenKind::kUserDefined;
    std::string bytes(text);
    if (impl->sentence_piece) {
      const std::optional<char> byte = ByteOfName(text);
      if (token_kind == TokenKind::kByte && !byte) {
        return bad(fmt::format("the byte token {} is not named like <0x0A>", id));
      }
      bytes = token_kind == TokenKind::kByte ? std::string(1, *byte) : WithSpaces(text);
      impl->pieces.emplace_back(text);
    } else if (!literal) {
      bytes = FromByteAlphabet(text).value_or(bytes);
    }
    impl->bytes.push_back(std::move(bytes));
    impl->kinds.push_back(token_kind);
  }
  if (impl->sentence_piece) {
    const GgufArray* scores = TRY(file.Array("tokenizer.ggml.scores"));
    if (scores == nullptr || scores->count != tokens->count ||
        scores->element == GgufType::kString) {
      return bad("tokenizer.ggml.scores does not have one number for each token");
    }
    for (uint64_t id = 0; id < scores->count; ++id) {
      const auto score = static_cast<float>(scores->NumberAt(id));
      if (score != score) return bad(fmt::format("tokenizer.ggml.scores: {} is NaN", id));
      impl->scores.push_back(score);
    }
    impl->add_space_prefix = TRY(file.Bool("tokenizer.ggml.add_space_prefix"))
    .value_or(true);
    if (!impl->unknown) impl->unknown = 0;
    Status status = impl->Prepare();
    if (!status) return std::move(status).error().In(file.name());
    return Tokenizer(std::move(impl));
  }
  impl->pre = TRY(PreTokenizerOfGguf(file));
  impl->whole_words = impl->pre == PreTokenizer::kLlama3;
  impl->map.Build(impl->bytes);
  const GgufArray* merges = TRY(file.Array("tokenizer.ggml.merges"));
  if (merges == nullptr || merges->element != GgufType::kString) {
    return bad("tokenizer.ggml.merges is missing");
  }
  for (uint64_t rank = 0; rank < merges->count; ++rank) {
    const std::string_view text = merges->strings[rank];
    const size_t space = text.find(' ', 1);
    if (space == std::string_view::npos) return bad(fmt::format("merge {} has no space", rank));
    const auto left = FromByteAlphabet(text.substr(0, space));
    const auto right = FromByteAlphabet(text.substr(space + 1));
    if (!left || !right) return bad(fmt::format("merge {} is not in the byte alphabet", rank));
    const TokenId a = impl->map.Find(*left), b = impl->map.Find(*right);
    const TokenId joined = impl->map.Find(*left + *right);
    if (a < 0 || b < 0 || joined < 0) return bad(fmt::format("merge {} names no tokens", rank));
    impl->merge_pairs.emplace_back(a, b);
    impl->merge_joined.push_back(joined);
  }
  Status status = impl->Prepare();
  if (!status) return std::move(status).error().In(file.name());
  return Tokenizer(std::move(impl));
}

void Tokenizer::ToGguf(GgufWriter& writer, int vocab_size) const {
  const Impl& t = *impl_;
  writer.String("tokenizer.ggml.model", t.sentence_piece ? "llama" : "gpt2");
  writer.String("tokenizer.ggml.pre", t.sentence_piece ? "default" : GgufNameOf(t.pre));
  const size_t n = std::max(t.bytes.size(), static_cast<size_t>(std::max(vocab_size, 0)));
  std::vector<std::string> text(n);
  std::vector<int32_t> types(n, kGgufKinds[static_cast<size_t>(TokenKind::kUnused)]);
  std::vector<float> scores = t.scores;
  scores.resize(n);
  for (size_t id = 0; id < n; ++id) {
    if (id >= t.bytes.size() || t.bytes[id].empty()) {
      text[id] = fmt::format("<unused{}>", id);  // each needs a name of its own
      continue;
    }
    const TokenKind kind = t.kinds[id];
    const bool literal = kind == TokenKind::kControl || kind == TokenKind::kUserDefined;
    text[id] = t.sentence_piece ? t.pieces[id]
               : literal        ? t.bytes[id]
                                : ToByteAlphabet(t.bytes[id]);
    types[id] = kGgufKinds[static_cast<size_t>(kind)];
  }
  writer.Strings("tokenizer.ggml.tokens", text);
  if (t.sentence_piece) {
    writer.F32s("tokenizer.ggml.scores", scores);
    writer.Bool("tokenizer.ggml.add_space_prefix", t.add_space_prefix);
  } else {
    std::vector<std::string> merges;
    for (const auto& [left, right] : t.merge_pairs) {
      merges.push_back(text[static_cast<size_t>(left)] + " " + text[static_cast<size_t>(right)]);
    }
    writer.Strings("tokenizer.ggml.merges", merges);
  }
  writer.I32s("tokenizer.ggml.token_type", types);
  if (t.bos) writer.U32("tokenizer.ggml.bos_token_id", static_cast<uint32_t>(*t.bos));
  if (t.eos) writer.U32("tokenizer.ggml.eos_token_id", static_cast<uint32_t>(*t.eos));
  writer.Bool("tokenizer.ggml.add_bos_token", t.add_bos);
}

void Tokenizer::AdoptIds(std::optional<TokenId> bos, std::optional<TokenId> eos) {
  const auto known = [&](std::optional<TokenId> id) {
    return id && *id >= 0 && *id < vocab_size();
  };
  if (known(bos) && !impl_->bos) impl_->bos = bos;
  if (known(eos)) {
    impl_->eos = eos;
    std::erase(impl_->stops, *eos);
    impl_->stops.insert(impl_->stops.begin(), *eos);
  }
}

}  // namespace weir::model
