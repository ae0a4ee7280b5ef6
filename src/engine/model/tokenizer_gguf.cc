// Tokenizers from parts, and from and to GGUF metadata (tokenizer.ggml.*).
#include <fmt/format.h>

#include <algorithm>

#include "engine/model/gguf.h"
#include "engine/model/tokenizer.h"
#include "engine/model/tokenizer_impl.h"
#include "engine/model/utf8.h"

namespace weir::model {
namespace {

using TokenId = Tokenizer::TokenId;

// GGUF's numbers for TokenKind, in its order.
constexpr int32_t kGgufKinds[] = {1, 2, 3, 4, 6, 5};

Result<std::optional<TokenId>> GgufId(const GgufFile& file, std::string_view key) {
  const std::optional<int64_t> id = TRY(file.Int(key));
  if (!id) return std::optional<TokenId>();
  if (*id < 0 || *id >= kMaxVocabulary) {
    return Error(Code::kInvalidArgument, fmt::format("{} is {}, no token", key, *id));
  }
  return std::optional<TokenId>(static_cast<TokenId>(*id));
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
  impl->splitter = Splitter::Of(parts.pre);
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

struct GgufReader {
  using Impl = Tokenizer::Impl;
  const GgufFile& file;
  std::unique_ptr<Impl> impl = std::make_unique<Impl>();
  std::vector<std::string> text = {};  // of the tokens, as in the file

  Error Bad(std::string what) const { return Error(Code::kInvalidArgument, std::move(what)); }

  Status Tokens() {
    const GgufArray* tokens = TRY(file.Array("tokenizer.ggml.tokens"));
    const GgufArray* types = TRY(file.Array("tokenizer.ggml.token_type"));
    if (tokens == nullptr || tokens->element != GgufType::kString || tokens->count == 0 ||
        tokens->count > kMaxVocabulary) {
      return Bad("tokenizer.ggml.tokens is missing or no list of tokens");
    }
    if (types != nullptr &&
        (types->count != tokens->count || types->element == GgufType::kString)) {
      return Bad("tokenizer.ggml.token_type does not have one number for each token");
    }
    const bool byte_bpe = impl->kind == TokenizerKind::kByteBpe;
    const bool word_piece = impl->kind == TokenizerKind::kWordPiece;
    for (uint64_t id = 0; id < tokens->count; ++id) {
      const std::string_view token = tokens->strings[id];
      text.emplace_back(token);
      TokenKind kind = TokenKind::kNormal;
      if (types != nullptr) {
        const auto number = static_cast<int32_t>(std::clamp<int64_t>(types->IntAt(id), 0, 100));
        const auto it = std::find(std::begin(kGgufKinds), std::end(kGgufKinds), number);
        if (it == std::end(kGgufKinds)) {
          return Bad(fmt::format("tokenizer.ggml.token_type of {} is {}", id, number));
        }
        kind = static_cast<TokenKind>(it - std::begin(kGgufKinds));
      }
      const bool literal = kind == TokenKind::kControl || kind == TokenKind::kUserDefined;
      std::string bytes(token);
      if (byte_bpe) {
        if (!literal) bytes = FromByteAlphabet(token).value_or(bytes);
      } else {
        const std::optional<char> byte = ByteOfName(token);
        if (kind == TokenKind::kByte && !byte) {
          return Bad(fmt::format("the byte token {} is not named like <0x0A>", id));
        }
        bytes = kind == TokenKind::kByte && !word_piece ? std::string(1, *byte) : WithSpaces(token);
        impl->pieces.emplace_back(token);
      }
      impl->bytes.push_back(std::move(bytes));
      impl->kinds.push_back(kind);
    }
    return {};
  }

  Status Scores() {
    const GgufArray* scores = TRY(file.Array("tokenizer.ggml.scores"));
    if (scores == nullptr || scores->count != impl->bytes.size() ||
        scores->element == GgufType::kString) {
      return Bad("tokenizer.ggml.scores does not have one number for each token");
    }
    for (uint64_t id = 0; id < scores->count; ++id) {
      const auto score = static_cast<float>(scores->NumberAt(id));
      if (score != score) return Bad(fmt::format("tokenizer.ggml.scores: {} is NaN", id));
      impl->scores.push_back(score);
    }
    return {};
  }

  Status Marks() {
    impl->spaces_are_marks = true;
    const std::optional<bool> prefix = TRY(file.Bool("tokenizer.ggml.add_space_prefix"));
    if (prefix.value_or(true)) {
      impl->mark_prefix = MarkPrefix::kAfterAdded;
      impl->strip_first_space = true;
    }
    if (!impl->unknown) impl->unknown = 0;
    return {};
  }

  Status Merges() {
    const GgufArray* merges = TRY(file.Array("tokenizer.ggml.merges"));
    if (merges == nullptr || merges->element != GgufType::kString) {
      return Bad("tokenizer.ggml.merges is missing");
    }
    TokenMap ids;  // by the text in the file, which the merges speak of
    ids.Build(text);
    std::string joined;
    for (uint64_t rank = 0; rank < merges->count; ++rank) {
      const std::string_view merge = merges->strings[rank];
      const size_t space = merge.empty() ? std::string_view::npos : merge.find(' ', 1);
      if (space == std::string_view::npos) return Bad(fmt::format("merge {} has no space", rank));
      const std::string_view left = merge.substr(0, space), right = merge.substr(space + 1);
      joined.assign(left);
      joined += right;
      const TokenId a = ids.Find(left), b = ids.Find(right), both = ids.Find(joined);
      if (a < 0 || b < 0 || both < 0) return Bad(fmt::format("merge {} names no tokens", rank));
      impl->merge_pairs.emplace_back(a, b);
      impl->merge_joined.push_back(both);
    }
    return {};
  }

  // Phi-3's special tokens take the white space behind them along, which GGUF has no field for.
  Status NamedQuirks() {
    const std::optional<std::string_view> name = TRY(file.String("general.name"));
    std::string lower;
    for (const char c : name.value_or("")) {
      lower += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    }
    if (lower.find("phi-3") == std::string::npos && lower.find("phi3") == std::string::npos) {
      return {};
    }
    for (size_t id = 0; id < impl->kinds.size(); ++id) {
      const TokenKind kind = impl->kinds[id];
      if (kind != TokenKind::kControl && kind != TokenKind::kUserDefined) continue;
      const std::string& piece = impl->pieces.empty() ? impl->bytes[id] : impl->pieces[id];
      if (piece == "<unk>" || piece == "<s>" || piece == "<|endoftext|>") continue;
      impl->added.push_back({.id = static_cast<TokenId>(id),
                             .content = piece,
                             .rstrip = true,
                             .special = kind == TokenKind::kControl});
    }
    return {};
  }

  Result<std::unique_ptr<Impl>> Read() {
    const std::optional<std::string_view> named = TRY(file.String("tokenizer.ggml.model"));
    const std::string_view model = named.value_or("");
    if (model == "gpt2") {
      impl->kind = TokenizerKind::kByteBpe;
    } else if (model == "llama") {
      impl->kind = TokenizerKind::kSentencePiece;
    } else if (model == "t5") {
      impl->kind = TokenizerKind::kUnigram;
      const GgufArray* map = TRY(file.Array("tokenizer.ggml.precompiled_charsmap"));
      if (map != nullptr && map->count > 0) {
        return Error(Code::kUnimplemented,
                     "tokenizer.ggml.precompiled_charsmap (a table of character replacements, in "
                     "T5 and its kin) is not offered");
      }
    } else if (model == "bert") {
      impl->kind = TokenizerKind::kWordPiece;
    } else {
      return Error(
          Code::kUnimplemented,
          fmt::format("tokenizer.ggml.model is \"{}\"; gpt2, llama, t5 and bert are offered",
                      model.substr(0, 40)));
    }
    impl->bos = TRY(GgufId(file, "tokenizer.ggml.bos_token_id"));
    impl->eos = TRY(GgufId(file, "tokenizer.ggml.eos_token_id"));
    impl->unknown = TRY(GgufId(file, "tokenizer.ggml.unknown_token_id"));
    bool add_bos = model == "llama" || model == "bert";
    bool add_eos = model == "t5" || model == "bert";
    TRY(Tokens());
    switch (impl->kind) {
      case TokenizerKind::kSentencePiece:
        TRY(Scores());
        TRY(Marks());
        break;
      case TokenizerKind::kUnigram:
        TRY(Scores());
        TRY(Marks());
        impl->fuse_unknown = true;
        break;
      case TokenizerKind::kWordPiece:
        TRY(Bert());
        break;
      default: {
        const std::optional<std::string_view> pre = TRY(file.String("tokenizer.ggml.pre"));
        GgufPreTokenizer found = TRY(PreTokenizerOfGguf(pre.value_or("default")));
        impl->splitter = TRY(Splitter::Create(std::move(found.steps)));
        impl->whole_words = found.whole_words;
        add_bos = found.add_bos;
        TRY(Merges());
      }
    }
    TRY(NamedQuirks());
    const std::optional<bool> says_bos = TRY(file.Bool("tokenizer.ggml.add_bos_token"));
    const std::optional<bool> says_eos = TRY(file.Bool("tokenizer.ggml.add_eos_token"));
    impl->add_bos = says_bos.value_or(add_bos) && impl->bos;
    impl->add_eos = says_eos.value_or(add_eos) && impl->eos;
    return std::move(impl);
  }

  // BERT: clean, without accents, lower case, cut at white space and around punctuation. Pieces
  // that begin a word have a mark in GGUF, the others nothing.
  Status Bert() {
    using Kind = NormalizerStep::Kind;
    for (const Kind kind :
         {Kind::kCleanText, Kind::kSpaceCjk, Kind::kNfd, Kind::kStripAccents, Kind::kLowercase}) {
      TRY(impl->normalizer.Add({.kind = kind}));
    }
    impl->splitter = TRY(Splitter::Create(
        {{.pattern = R"(\s+)", .cut = Cut::kRemoved}, {.pattern = R"([!-/:-@\[-`{-~\p{P}])"}}));
    impl->strip_first_space = true;
    impl->longest_word = 100;
    for (const auto& [key, id] : {std::pair("tokenizer.ggml.cls_token_id", &impl->bos),
                                  std::pair("tokenizer.ggml.seperator_token_id", &impl->eos),
                                  std::pair("tokenizer.ggml.separator_token_id", &impl->eos)}) {
      const std::optional<TokenId> found = TRY(GgufId(file, key));
      if (found) *id = found;
    }
    return {};
  }
};

Result<Tokenizer> Tokenizer::FromGguf(const GgufFile& file) {
  const auto in_file = [&](Error error) { return std::move(error).In(file.name()); };
  GgufReader reader{.file = file};
  Result<std::unique_ptr<Impl>> impl = reader.Read();
  if (!impl) {
    // A tokenizer that GGUF's own fields cannot name may stand in the file in full.
    const std::optional<std::string_view> json = TRY(file.String("tokenizer.huggingface.json"));
    if (json && impl.error().code() == Code::kUnimplemented) return FromHfJson(*json);
    return in_file(std::move(impl).error());
  }
  Status status = (*impl)->Prepare();
  if (!status) return in_file(std::move(status).error());
  return Tokenizer(*std::move(impl));
}

void Tokenizer::ToGguf(GgufWriter& writer, int vocab_size) const {
  const Impl& t = *impl_;
  const bool byte_bpe = t.kind == TokenizerKind::kByteBpe;
  constexpr std::string_view kModels[] = {"gpt2", "llama", "llama", "t5", "bert"};
  writer.String("tokenizer.ggml.model", kModels[static_cast<size_t>(t.kind)]);
  std::string_view pre = "default";
  if (byte_bpe) {
    const std::optional<std::string_view> name = GgufNameOf(t.splitter.steps(), t.whole_words);
    const bool named = name && t.normalizer.empty() && !t.space_prefix &&
                       PreTokenizerOfGguf(*name)->whole_words == t.whole_words;
    pre = named ? *name : "huggingface";
    if (!named) {
      if (const Result<std::string> json = ToHfJson(); json) {
        writer.String("tokenizer.huggingface.json", *json);
      }
    }
  }
  writer.String("tokenizer.ggml.pre", pre);
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
    text[id] = !byte_bpe ? t.pieces[id] : literal ? t.bytes[id] : ToByteAlphabet(t.bytes[id]);
    types[id] = kGgufKinds[static_cast<size_t>(kind)];
  }
  if (t.kind == TokenizerKind::kCharBpe) {
    // GGUF has scores for such a vocabulary: what a merge makes is the better the earlier it goes,
    // and what none makes is never to be joined.
    std::fill(scores.begin(), scores.end(), -1e9f);
    for (size_t rank = t.merge_joined.size(); rank-- > 0;) {
      scores[static_cast<size_t>(t.merge_joined[rank])] = -static_cast<float>(rank + 1);
    }
  }
  writer.Strings("tokenizer.ggml.tokens", text);
  if (byte_bpe) {
    std::vector<std::string> merges;
    for (const auto& [left, right] : t.merge_pairs) {
      merges.push_back(text[static_cast<size_t>(left)] + " " + text[static_cast<size_t>(right)]);
    }
    writer.Strings("tokenizer.ggml.merges", merges);
  } else if (t.kind != TokenizerKind::kWordPiece) {
    writer.F32s("tokenizer.ggml.scores", scores);
    const bool prepends = t.mark_prefix != MarkPrefix::kNever ||
                          std::any_of(t.normalizer.steps().begin(), t.normalizer.steps().end(),
                                      [](const NormalizerStep& step) {
                                        return step.kind == NormalizerStep::Kind::kPrepend;
                                      });
    writer.Bool("tokenizer.ggml.add_space_prefix", prepends);
  }
  writer.I32s("tokenizer.ggml.token_type", types);
  if (t.bos) writer.U32("tokenizer.ggml.bos_token_id", static_cast<uint32_t>(*t.bos));
  if (t.eos) writer.U32("tokenizer.ggml.eos_token_id", static_cast<uint32_t>(*t.eos));
  if (t.unknown) writer.U32("tokenizer.ggml.unknown_token_id", static_cast<uint32_t>(*t.unknown));
  writer.Bool("tokenizer.ggml.add_bos_token", t.add_bos);
  if (t.add_eos) writer.Bool("tokenizer.ggml.add_eos_token", true);
}

}  // namespace weir::model
