// Tokenizers from and to tokenizer.json, the file of Hugging Face's tokenizers library.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "engine/model/tokenizer.h"
#include "engine/model/tokenizer_impl.h"
#include "engine/model/utf8.h"

namespace weir::model {
namespace {

using Json = nlohmann::json;
using TokenId = Tokenizer::TokenId;

Error BadJson(std::string what) {
  return Error(Code::kInvalidArgument, "tokenizer.json: " + std::move(what));
}
Error NotOffered(std::string what) {
  return Error(Code::kUnimplemented, "tokenizer.json: " + std::move(what) + " is not offered")
      .Hint("a GGUF file of the same model may have its tokenizer in a form that is");
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
std::string TypeOf(const Json& json) { return StringOr(Member(json, "type"), ""); }
Result<TokenId> IdFrom(const Json& json, std::string_view field) {
  if (!json.is_number_unsigned() || json.get<uint64_t>() >= kMaxVocabulary) {
    return BadJson(fmt::format("{} has an id that is no integer below {}", field, kMaxVocabulary));
  }
  return json.get<TokenId>();
}

// The members of a Sequence, or the one thing itself.
std::vector<const Json*> StepsOf(const Json* json, const char* list_name) {
  if (json == nullptr) return {};
  if (TypeOf(*json) != "Sequence") return {json};
  std::vector<const Json*> steps;
  if (const Json* list = Member(*json, list_name); list != nullptr && list->is_array()) {
    for (const Json& step : *list) {
      for (const Json* inner : StepsOf(&step, list_name)) steps.push_back(inner);
    }
  }
  return steps;
}

// {"String": "x"} or {"Regex": "x"}.
struct Pattern {
  std::string text;
  bool regex = false;
};
std::optional<Pattern> PatternFrom(const Json& step) {
  const Json* pattern = Member(step, "pattern");
  if (pattern == nullptr) return std::nullopt;
  if (pattern->is_string()) return Pattern{pattern->get<std::string>(), false};
  if (const Json* text = Member(*pattern, "String"); text != nullptr && text->is_string()) {
    return Pattern{text->get<std::string>(), false};
  }
  if (const Json* text = Member(*pattern, "Regex"); text != nullptr && text->is_string()) {
    return Pattern{text->get<std::string>(), true};
  }
  return std::nullopt;
}

Status ReadNormalizer(const Json* json, Normalizer& out) {
  using Kind = NormalizerStep::Kind;
  for (const Json* step : StepsOf(json, "normalizers")) {
    const std::string type = TypeOf(*step);
    NormalizerStep made;
    if (type == "NFC") {
      made.kind = Kind::kNfc;
    } else if (type == "NFD") {
      made.kind = Kind::kNfd;
    } else if (type == "NFKC") {
      made.kind = Kind::kNfkc;
    } else if (type == "NFKD") {
      made.kind = Kind::kNfkd;
    } else if (type == "Lowercase") {
      made.kind = Kind::kLowercase;
    } else if (type == "StripAccents") {
      made.kind = Kind::kStripAccents;
    } else if (type == "Prepend") {
      made.kind = Kind::kPrepend;
      made.with = StringOr(Member(*step, "prepend"), "");
    } else if (type == "Strip") {
      made.kind = Kind::kStrip;
      made.left = BoolOr(Member(*step, "strip_left"), true);
      made.right = BoolOr(Member(*step, "strip_right"), true);
    } else if (type == "Replace") {
      const std::optional<Pattern> pattern = PatternFrom(*step);
      if (!pattern) return BadJson("normalizer Replace has no pattern");
      made.kind = Kind::kReplace;
      made.what = pattern->text;
      made.regex = pattern->regex;
      made.with = StringOr(Member(*step, "content"), "");
    } else if (type == "BertNormalizer") {
      const bool lower = BoolOr(Member(*step, "lowercase"), true);
      if (BoolOr(Member(*step, "clean_text"), true)) TRY(out.Add({.kind = Kind::kCleanText}));
      if (BoolOr(Member(*step, "handle_chinese_chars"), true)) {
        TRY(out.Add({.kind = Kind::kSpaceCjk}));
      }
      if (BoolOr(Member(*step, "strip_accents"), lower)) {
        TRY(out.Add({.kind = Kind::kNfd}));
        TRY(out.Add({.kind = Kind::kStripAccents}));
      }
      if (lower) TRY(out.Add({.kind = Kind::kLowercase}));
      continue;
    } else {
      return NotOffered(fmt::format("the normalizer {:.40}", type));
    }
    Status added = out.Add(std::move(made));
    if (!added) return std::move(added).error().In("tokenizer.json: normalizer");
  }
  return {};
}

Result<Cut> CutFrom(const Json* json, Cut otherwise) {
  const std::string name = StringOr(json, "");
  if (json == nullptr) return otherwise;
  if (name == "Isolated") return Cut::kIsolated;
  if (name == "Removed") return Cut::kRemoved;
  if (name == "MergedWithPrevious") return Cut::kMergedWithPrevious;
  if (name == "MergedWithNext") return Cut::kMergedWithNext;
  if (name == "Contiguous") return Cut::kContiguous;
  return BadJson(fmt::format("pre_tokenizer cuts as {:.40}", name));
}

// What a pre-tokenizer or decoder named Metaspace says about the mark in front.
Result<MarkPrefix> PrefixScheme(const Json& step) {
  const std::string replacement = StringOr(Member(step, "replacement"), std::string(kWordMark));
  if (replacement != kWordMark) return NotOffered("a word mark that is not U+2581");
  const std::string scheme = StringOr(Member(step, "prepend_scheme"), "");
  if (scheme == "never") return MarkPrefix::kNever;
  if (scheme == "first") return MarkPrefix::kFirst;
  if (scheme == "always") return MarkPrefix::kAfterAdded;
  return BoolOr(Member(step, "add_prefix_space"), true) ? MarkPrefix::kAfterAdded
                                                        : MarkPrefix::kNever;
}

constexpr std::string_view kAnyPunctuation = R"([!-/:-@\[-`{-~\p{P}])";

}  // namespace

struct HfReader {  // reaches Tokenizer::Impl
  using Impl = Tokenizer::Impl;

  // Fills impl.splitter and what the steps say about spaces. `byte_level`: a ByteLevel was there.
  static Status ReadPreTokenizer(const Json* json, Impl& impl, bool& byte_level) {
    std::vector<SplitStep> split;
    const std::vector<const Json*> steps = StepsOf(json, "pretokenizers");
    for (size_t i = 0; i < steps.size(); ++i) {
      const Json& step = *steps[i];
      const std::string type = TypeOf(step);
      if (type == "Split") {
        const std::optional<Pattern> pattern = PatternFrom(step);
        if (!pattern) return BadJson("pre_tokenizer Split has no pattern");
        split.push_back({
          .pattern = pattern->text, .cut = TRY(CutFrom(Member(step, "behavior"), Cut::kIsolated))
          , .invert = BoolOr(Member(step, "invert"), false), .literal = !pattern->regex
        });
      } else if (type == "ByteLevel") {
        byte_level = true;
        if (BoolOr(Member(step, "add_prefix_space"), true)) {
          if (!split.empty()) return NotOffered("add_prefix_space after a split");
          impl.space_prefix = true;
        }
        if (BoolOr(Member(step, "use_regex"), true)) {
          split.push_back({.pattern = std::string(PatternOf(PreTokenizer::kGpt2))});
        }
      } else if (type == "Digits") {
        const bool each = BoolOr(Member(step, "individual_digits"), false);
        split.push_back({.pattern = R"(\p{N})", .cut = each ? Cut::kIsolated : Cut::kContiguous});
      } else if (type == "Punctuation") {
        split.push_back({
          .pattern = std::string(kAnyPunctuation),
          .cut = TRY(CutFrom(Member(step, "behavior"), Cut::kIsolated))
        });
      } else if (type == "Whitespace") {
        split.push_back({.pattern = R"(\w+|[^\w\s]+)", .cut = Cut::kRemoved, .invert = true});
      } else if (type == "WhitespaceSplit") {
        split.push_back({.pattern = R"(\s+)", .cut = Cut::kRemoved});
      } else if (type == "BertPreTokenizer") {
        split.push_back({.pattern = R"(\s+)", .cut = Cut::kRemoved});
        split.push_back({.pattern = std::string(kAnyPunctuation)});
      } else if (type == "Metaspace") {
        if (i + 1 != steps.size() || impl.spaces_are_marks) {
          return NotOffered("a Metaspace before another pre-tokenizer");
        }
        impl.spaces_are_marks = true;
        impl.mark_prefix = TRY(PrefixScheme(step));
        impl.mark_prefix_once = true;
        impl.cut_marks = BoolOr(Member(step, "split"), true);
        // (A WhitespaceSplit before it leaves words without spaces: each gets its mark.)
        if (!split.empty()) return NotOffered("a Metaspace behind another pre-tokenizer");
      } else {
        return NotOffered(fmt::format("the pre_tokenizer {:.40}", type));
      }
    }
    Result<Splitter> made = Splitter::Create(std::move(split));
    if (!made) return std::move(made).error().In("tokenizer.json: pre_tokenizer");
    impl.splitter = *std::move(made);
    return {};
  }

  // Does decoding take a space off the front?
  static bool StripsFirstSpace(const Json* decoder, const Impl& impl) {
    for (const Json* step : StepsOf(decoder, "decoders")) {
      const std::string type = TypeOf(*step);
      if (type == "Strip" && StringOr(Member(*step, "content"), "") == " ") {
        const Json* start = Member(*step, "start");
        return start != nullptr && start->is_number() && start->get<double>() > 0;
      }
      if (type == "Metaspace") {
        const Result<MarkPrefix> prefix = PrefixScheme(*step);
        return prefix && *prefix != MarkPrefix::kNever;
      }
      if (type == "WordPiece") return true;
    }
    return decoder == nullptr && impl.mark_prefix != MarkPrefix::kNever;
  }

  // The tokens that a post-processor puts before and behind a single text.
  static void Ends(const Json* json, std::optional<std::string>& before,
                   std::optional<std::string>& behind) {
    for (const Json* step : StepsOf(json, "processors")) {
      const std::string type = TypeOf(*step);
      const auto first_of = [](const Json* pair) -> std::optional<std::string> {
        if (pair == nullptr || !pair->is_array() || pair->empty() || !(*pair)[0].is_string()) {
          return std::nullopt;
        }
        return (*pair)[0].get<std::string>();
      };
      if (type == "BertProcessing" || type == "RobertaProcessing") {
        before = first_of(Member(*step, "cls"));
        behind = first_of(Member(*step, "sep"));
      }
      const Json* single = Member(*step, "single");
      if (single == nullptr || !single->is_array()) continue;
      bool text_seen = false;
      for (const Json& part : *single) {
        if (Member(part, "Sequence") != nullptr) text_seen = true;
        const Json* special = Member(part, "SpecialToken");
        if (special == nullptr) continue;
        const std::string id = StringOr(Member(*special, "id"), "");
        if (!id.empty()) (text_seen ? behind : before) = id;
      }
    }
  }

  static Result<std::unique_ptr<Impl>> Read(std::string_view text);
  static Status ReadMerges(const Json& model, Impl& impl,
                           const std::unordered_map<std::string, TokenId>& ids);
};

namespace {

// "left right", or ["left", "right"].
std::optional<std::pair<std::string, std::string>> SplitMerge(const Json& json) {
  if (json.is_string()) {
    const auto& text = json.get_ref<const std::string&>();
    const size_t space = text.empty() ? std::string::npos : text.find(' ', 1);
    if (space == std::string::npos) return std::nullopt;
    return std::pair(text.substr(0, space), text.substr(space + 1));
  }
  if (json.is_array() && json.size() == 2 && json[0].is_string() && json[1].is_string()) {
    return std::pair(json[0].get<std::string>(), json[1].get<std::string>());
  }
  return std::nullopt;
}

// tokens[id] for every id; holes are empty.
struct RawVocabulary {
  std::vector<std::string> text;
  std::vector<float> scores;  // Unigram
  std::unordered_map<std::string, TokenId> ids;

  Status Set(TokenId id, const std::string& name) {
    if (text.size() <= static_cast<size_t>(id)) text.resize(static_cast<size_t>(id) + 1);
    std::string& slot = text[static_cast<size_t>(id)];
    if (!slot.empty() && slot != name) return BadJson(fmt::format("id {} stands twice", id));
    ids.emplace(name, id);
    slot = name;
    return {};
  }
};

Status ReadVocabulary(const Json& model, bool unigram, RawVocabulary& raw) {
  const Json* vocabulary = Member(model, "vocab");
  if (unigram) {
    if (vocabulary == nullptr || !vocabulary->is_array()) return BadJson("no model.vocab");
    if (vocabulary->size() >= kMaxVocabulary) return BadJson("model.vocab is too large");
    for (size_t i = 0; i < vocabulary->size(); ++i) {
      const Json& row = (*vocabulary)[i];
      if (!row.is_array() || row.size() != 2 || !row[0].is_string() || !row[1].is_number()) {
        return BadJson(fmt::format("model.vocab {} is no piece with its score", i));
      }
      TRY(raw.Set(static_cast<TokenId>(i), row[0].get<std::string>()));
      raw.scores.push_back(row[1].get<float>());
    }
    return {};
  }
  if (vocabulary == nullptr || !vocabulary->is_object()) return BadJson("no model.vocab");
  raw.text.reserve(vocabulary->size());
  raw.ids.reserve(vocabulary->size());
  for (const auto& [name, id] : vocabulary->items()) {
    TRY(raw.Set(TRY(IdFrom(id, "model.vocab")), name));
  }
  // A handful of entries must not make millions of empty tokens.
  if (raw.text.size() > 16 * raw.ids.size() + 65536) return BadJson("model.vocab is mostly holes");
  return {};
}

Status ReadAdded(const Json* list, RawVocabulary& raw, std::vector<AddedToken>& out) {
  if (list == nullptr) return {};
  if (!list->is_array()) return BadJson("added_tokens is no list");
  const size_t most = 2 * raw.text.size() + 65536;
  for (const Json& entry : *list) {
    const Json* id = Member(entry, "id");
    AddedToken token;
    token.content = StringOr(Member(entry, "content"), "");
    if (id == nullptr || token.content.empty())
      return BadJson("an added token lacks id or content");
    token.id = TRY(IdFrom(*id, "added_tokens"));
    if (static_cast<size_t>(token.id) > most) {
      return BadJson(fmt::format("added token id {} is far beyond the vocabulary", token.id));
    }
    token.lstrip = BoolOr(Member(entry, "lstrip"), false);
    token.rstrip = BoolOr(Member(entry, "rstrip"), false);
    token.single_word = BoolOr(Member(entry, "single_word"), false);
    token.special = BoolOr(Member(entry, "special"), false);
    token.normalized = BoolOr(Member(entry, "normalized"), !token.special);
    TRY(raw.Set(token.id, token.content));
    out.push_back(std::move(token));
  }
  return {};
}

}  // namespace

Status HfReader::ReadMerges(const Json& model, Impl& impl,
                            const std::unordered_map<std::string, TokenId>& ids) {
  const Json* merges = Member(model, "merges");
  if (merges == nullptr || !merges->is_array()) return BadJson("no model.merges");
  for (size_t i = 0; i < merges->size(); ++i) {
    const auto merge = SplitMerge((*merges)[i]);
    if (!merge) return BadJson(fmt::format("merge {} is no pair of tokens", i));
    const auto left = ids.find(merge->first), right = ids.find(merge->second);
    const auto joined = ids.find(merge->first + merge->second);
    if (left == ids.end() || right == ids.end() || joined == ids.end()) {
      return BadJson(fmt::format("merge {} names a token that is not in model.vocab", i));
    }
    impl.merge_pairs.emplace_back(left->second, right->second);
    impl.merge_joined.push_back(joined->second);
  }
  return {};
}

Result<std::unique_ptr<Tokenizer::Impl>> HfReader::Read(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return BadJson("not a JSON object");
  const Json* model = Member(json, "model");
  if (model == nullptr) return BadJson("no model");
  // (Old files have no type: a BPE has merges.)
  const std::string type = StringOr(Member(*model, "type"), "BPE");
  auto impl = std::make_unique<Impl>();
  if (type == "Unigram") {
    impl->kind = TokenizerKind::kUnigram;
  } else if (type == "WordPiece") {
    impl->kind = TokenizerKind::kWordPiece;
  } else if (type != "BPE") {
    return NotOffered(fmt::format("the model type {:.40}", type));
  }
  const bool bpe = type == "BPE";
  if (bpe && (!StringOr(Member(*model, "continuing_subword_prefix"), "").empty() ||
              !StringOr(Member(*model, "end_of_word_suffix"), "").empty())) {
    return NotOffered("a BPE with subword prefixes or suffixes");
  }
  RawVocabulary raw;
  TRY(ReadVocabulary(*model, type == "Unigram", raw));
  if (bpe) TRY(ReadMerges(*model, *impl, raw.ids));
  TRY(ReadAdded(Member(json, "added_tokens"), raw, impl->added));
  TRY(ReadNormalizer(Member(json, "normalizer"), impl->normalizer));
  bool byte_level = false;
  TRY(ReadPreTokenizer(Member(json, "pre_tokenizer"), *impl, byte_level));
  const bool byte_fallback = BoolOr(Member(*model, "byte_fallback"), false);
  if (bpe && !byte_level) {
    if (!byte_fallback && Member(json, "pre_tokenizer") == nullptr &&
        Member(json, "normalizer") == nullptr) {
      return NotOffered("a BPE without a pre_tokenizer, a normalizer or byte_fallback");
    }
    impl->kind = TokenizerKind::kCharBpe;
  }
  impl->whole_words = bpe && BoolOr(Member(*model, "ignore_merges"), false);
  impl->fuse_unknown = !bpe || BoolOr(Member(*model, "fuse_unk"), false);
  if (type == "WordPiece") {
    impl->fuse_unknown = false;
    impl->continuation = StringOr(Member(*model, "continuing_subword_prefix"), "##");
    if (impl->continuation.empty()) return NotOffered("a WordPiece without a prefix");
    impl->longest_word = 100;
    if (const Json* most = Member(*model, "max_input_chars_per_word");
        most != nullptr && most->is_number_unsigned()) {
      impl->longest_word = most->get<size_t>();
    }
  }
  if (const Json* unk = Member(*model, type == "Unigram" ? "unk_id" : "unk_token")) {
    if (unk->is_string()) {
      const auto it = raw.ids.find(unk->get<std::string>());
      if (it != raw.ids.end()) impl->unknown = it->second;
    } else {
      impl->unknown = TRY(IdFrom(*unk, "model.unk_id"));
    }
  }
  const size_t n = raw.text.size();
  impl->kinds.assign(n, TokenKind::kNormal);
  if (impl->unknown && static_cast<size_t>(*impl->unknown) < n) {
    impl->kinds[static_cast<size_t>(*impl->unknown)] = TokenKind::kUnknown;
  }
  for (const AddedToken& token : impl->added) {
    impl->kinds[static_cast<size_t>(token.id)] =
        token.special ? TokenKind::kControl : TokenKind::kUserDefined;
  }
  if (impl->kind == TokenizerKind::kUnigram) {
    raw.scores.resize(n);
    impl->scores = std::move(raw.scores);
  }
  impl->bytes.reserve(n);
  for (size_t id = 0; id < n; ++id) {
    const std::string& piece = raw.text[id];
    const bool plain = impl->kinds[id] == TokenKind::kNormal;
    if (impl->kind == TokenizerKind::kByteBpe) {
      std::optional<std::string> bytes;
      if (plain) bytes = FromByteAlphabet(piece);
      impl->bytes.push_back(bytes ? *std::move(bytes) : piece);
      continue;
    }
    impl->pieces.push_back(piece);
    if (impl->kind == TokenizerKind::kWordPiece) {
      const bool inside = piece.starts_with(impl->continuation);
      impl->bytes.push_back(!plain   ? piece
                            : inside ? piece.substr(impl->continuation.size())
                                     : " " + piece);
    } else if (const auto byte = ByteOfName(piece); plain && byte_fallback && byte) {
      impl->kinds[id] = TokenKind::kByte;
      impl->bytes.emplace_back(1, *byte);
    } else {
      impl->bytes.push_back(WithSpaces(piece));
    }
  }
  impl->strip_first_space = StripsFirstSpace(Member(json, "decoder"), *impl);
  std::optional<std::string> before, behind;
  Ends(Member(json, "post_processor"), before, behind);
  for (const auto& [name, id, add] : {std::tuple(&before, &impl->bos, &impl->add_bos),
                                      std::tuple(&behind, &impl->eos, &impl->add_eos)}) {
    if (!*name) continue;
    const auto it = raw.ids.find(**name);
    if (it == raw.ids.end()) return BadJson("post_processor names a token that does not exist");
    *id = it->second;
    *add = true;
  }
  return impl;
}

Result<Tokenizer> Tokenizer::FromHfJson(std::string_view text) {
  std::unique_ptr<Impl> impl = TRY(HfReader::Read(text));
  Status status = impl->Prepare();
  if (!status) return std::move(status).error().In("tokenizer.json");
  return Tokenizer(std::move(impl));
}

Result<std::string> Tokenizer::ToHfJson() const {
  const Impl& t = *impl_;
  if (t.kind != TokenizerKind::kByteBpe) {
    return Error(Code::kUnimplemented,
                 "only a byte-level BPE tokenizer can be written as tokenizer.json")
        .Hint("export to GGUF, or keep the model's own tokenizer.json");
  }
  using Ordered = nlohmann::ordered_json;
  using Kind = NormalizerStep::Kind;
  Ordered vocabulary = Ordered::object(), added = Ordered::array(), merges = Ordered::array();
  std::vector<std::string> text(t.bytes.size());
  std::vector<bool> literal(t.bytes.size());
  for (const AddedToken& token : t.added) {
    literal[static_cast<size_t>(token.id)] = true;
    added.push_back({{"id", token.id},
                     {"content", token.content},
                     {"single_word", token.single_word},
                     {"lstrip", token.lstrip},
                     {"rstrip", token.rstrip},
                     {"normalized", token.normalized},
                     {"special", token.special}});
  }
  for (size_t id = 0; id < t.bytes.size(); ++id) {
    text[id] = literal[id] ? t.bytes[id] : ToByteAlphabet(t.bytes[id]);
    // push_back, not operator[]: an ordered_json object searches linearly for its keys.
    if (!text[id].empty()) vocabulary.get_ref<Ordered::object_t&>().emplace_back(text[id], id);
  }
  for (const auto& [left, right] : t.merge_pairs) {
    merges.push_back(text[static_cast<size_t>(left)] + " " + text[static_cast<size_t>(right)]);
  }
  const std::vector<SplitStep>& steps = t.splitter.steps();
  const bool plain_gpt2 =
      steps.size() == 1 &&
      steps[0] == SplitStep{.pattern = std::string(PatternOf(PreTokenizer::kGpt2))};
  const Ordered byte_level = {{"type", "ByteLevel"},
                              {"add_prefix_space", t.space_prefix},
                              {"trim_offsets", true},
                              {"use_regex", plain_gpt2}};
  Ordered pre = byte_level;
  if (!plain_gpt2) {
    constexpr std::string_view kCuts[] = {"Isolated", "Removed", "MergedWithPrevious",
                                          "MergedWithNext", "Contiguous"};
    Ordered list = Ordered::array();
    for (const SplitStep& step : steps) {
      list.push_back({{"type", "Split"},
                      {"pattern", {{step.literal ? "String" : "Regex", step.pattern}}},
                      {"behavior", kCuts[static_cast<size_t>(step.cut)]},
                      {"invert", step.invert}});
    }
    list.push_back(byte_level);
    pre = {{"type", "Sequence"}, {"pretokenizers", std::move(list)}};
  }
  Ordered normalizer = nullptr;
  if (!t.normalizer.empty()) {
    Ordered list = Ordered::array();
    for (const NormalizerStep& step : t.normalizer.steps()) {
      switch (step.kind) {
        case Kind::kNfc:
          list.push_back({{"type", "NFC"}});
          break;
        case Kind::kNfd:
          list.push_back({{"type", "NFD"}});
          break;
        case Kind::kNfkc:
          list.push_back({{"type", "NFKC"}});
          break;
        case Kind::kNfkd:
          list.push_back({{"type", "NFKD"}});
          break;
        case Kind::kLowercase:
          list.push_back({{"type", "Lowercase"}});
          break;
        case Kind::kStripAccents:
          list.push_back({{"type", "StripAccents"}});
          break;
        case Kind::kPrepend:
          list.push_back({{"type", "Prepend"}, {"prepend", step.with}});
          break;
        case Kind::kReplace:
          list.push_back({{"type", "Replace"},
                          {"pattern", {{step.regex ? "Regex" : "String", step.what}}},
                          {"content", step.with}});
          break;
        case Kind::kStrip:
          list.push_back(
              {{"type", "Strip"}, {"strip_left", step.left}, {"strip_right", step.right}});
          break;
        case Kind::kCleanText:
        case Kind::kSpaceCjk:
          list.push_back({{"type", "BertNormalizer"},
                          {"clean_text", step.kind == Kind::kCleanText},
                          {"handle_chinese_chars", step.kind == Kind::kSpaceCjk},
                          {"strip_accents", false},
                          {"lowercase", false}});
          break;
      }
    }
    normalizer = {{"type", "Sequence"}, {"normalizers", std::move(list)}};
  }
  Ordered decoder = byte_level;
  decoder["use_regex"] = true;
  Ordered post = decoder;
  if (t.add_bos || t.add_eos) {
    Ordered single = Ordered::array(), pair = Ordered::array(), names = Ordered::object();
    const auto special = [&](Ordered& list, std::optional<TokenId> id, int type) {
      const std::string& name = text[static_cast<size_t>(*id)];
      list.push_back({{"SpecialToken", {{"id", name}, {"type_id", type}}}});
      names[name] = {
          {"id", name}, {"ids", Ordered::array({*id})}, {"tokens", Ordered::array({name})}};
    };
    const auto sequence = [](Ordered& list, const char* name, int type) {
      list.push_back({{"Sequence", {{"id", name}, {"type_id", type}}}});
    };
    if (t.add_bos) special(single, t.bos, 0);
    sequence(single, "A", 0);
    if (t.add_eos) special(single, t.eos, 0);
    for (const auto& [name, type] : {std::pair("A", 0), std::pair("B", 1)}) {
      if (t.add_bos) special(pair, t.bos, type);
      sequence(pair, name, type);
      if (t.add_eos) special(pair, t.eos, type);
    }
    post = {{"type", "TemplateProcessing"},
            {"single", std::move(single)},
            {"pair", std::move(pair)},
            {"special_tokens", std::move(names)}};
  }
  Ordered json = {{"version", "1.0"},
                  {"truncation", nullptr},
                  {"padding", nullptr},
                  {"added_tokens", std::move(added)},
                  {"normalizer", std::move(normalizer)},
                  {"pre_tokenizer", std::move(pre)},
                  {"post_processor", std::move(post)},
                  {"decoder", std::move(decoder)},
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

}  // namespace weir::model
