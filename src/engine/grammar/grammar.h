// Output held to a form: a JSON Schema, a regular expression or a grammar, exactly. Before each
// token the sampler asks which tokens may follow; whatever it picks, the text so far can still be
// completed, and text that ends where Done() says so has the form.
//
//   auto vocabulary = Vocabulary::Create(tokenizer);                      // once for a model
//   auto grammar = TRY(CompileJsonSchema(vocabulary, schema_text, {}));   // once for a request
//   Matcher matcher(grammar);                                             // once for a sequence
//   loop: matcher.Mask(bits);          // bit id of bits set: token id may follow
//         id = sample(logits, bits);
//         CHECK(matcher.Accept(id));   // after a stop token: finished() is true
//
// How: the form becomes rules, each rule an automaton over bytes that may call other rules
// (automaton.h). Which tokens may follow depends on where in its rule the text stands, and only for
// tokens that end the rule also on who called it; the first part is worked out once for each place
// in the grammar by a walk over the trie of all tokens and kept (mask_cache.h), the second is
// checked token by token, for the few tokens that it concerns.
//
// Threads   Vocabulary and Grammar are immutable to the outside and may be shared; what they cache
//           is guarded inside. A Matcher belongs to one thread at a time.
// Memory    a Grammar keeps at most kMaxCachedMaskBytes of masks; a Matcher at most a few MB.
// Errors    compiling names the place (line and column, or the path into the schema) and what is
//           wrong; kUnimplemented for a schema keyword that is not offered, kTooLarge for a form
//           with more than kMaxStates places.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "engine/model/tokenizer.h"

namespace weir::grammar {

using TokenId = model::Tokenizer::TokenId;

inline constexpr size_t kMaxSourceBytes = size_t{1} << 20;
inline constexpr size_t kMaxStates = size_t{1} << 17;
inline constexpr size_t kMaxCachedMaskBytes = size_t{64} << 20;
inline constexpr int kMaxDepth = 1024;    // calls within calls: brackets that are open
inline constexpr int kMaxRollback = 256;  // tokens that Rollback() can take back

// The words of a bit mask for n tokens.
constexpr size_t MaskWords(int tokens) { return (static_cast<size_t>(tokens) + 31) / 32; }

// The tokens of a model as a trie of their bytes. Special tokens are in it under a name of their
// own, so that only a grammar that names them allows them; stop tokens only end an output.
class Vocabulary {
 public:
  static std::shared_ptr<const Vocabulary> Create(const model::Tokenizer& tokenizer);
  ~Vocabulary();
  int size() const;  // tokens

  struct Impl;
  const Impl& impl() const { return *impl_; }

 private:
  explicit Vocabulary(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class Grammar;
using GrammarPtr = std::shared_ptr<const Grammar>;

struct SchemaOptions {
  // What an object schema without "additionalProperties" allows. JSON Schema says: anything.
  // OpenAI's strict mode requires the schema to say no.
  bool additional_properties = true;
  // Between the parts of objects and arrays: nothing or one space or a line break and its
  // indentation; without it, nothing at all.
  bool whitespace = true;
};

// Members come in the order in which "properties" lists them, additional ones after them.
// Offered: type, enum, const, properties, required, additionalProperties, propertyNames,
// patternProperties (one, without properties), items, prefixItems, minItems, maxItems, minLength,
// maxLength, pattern, format (date-time, date, time, duration, uuid, uuid4, email, ipv4, ipv6,
// hostname, uri, base64, base64url, and names that hold to nothing, as password), minimum, maximum,
// exclusiveMinimum, exclusiveMaximum, multipleOf (number_rules.h), anyOf, oneOf (as anyOf), allOf,
// not of everything, $ref within the document, nullable. Others are refused by name.
Result<GrammarPtr> CompileJsonSchema(std::shared_ptr<const Vocabulary> vocabulary,
                                     std::string_view schema, const SchemaOptions& options = {});
// Any JSON object, or any JSON value.
Result<GrammarPtr> CompileJsonObject(std::shared_ptr<const Vocabulary> vocabulary);
Result<GrammarPtr> CompileJsonValue(std::shared_ptr<const Vocabulary> vocabulary);
// The whole output matches. ECMA-262's syntax without look-around and back references.
Result<GrammarPtr> CompileRegex(std::shared_ptr<const Vocabulary> vocabulary,
                                std::string_view pattern);
// Rules `name ::= ...`, beginning at `root`; the syntax stands in ebnf.h.
Result<GrammarPtr> CompileEbnf(std::shared_ptr<const Vocabulary> vocabulary, std::string_view text);

// Only whether it compiles, without a vocabulary: for checking a request early.
Status CheckJsonSchema(std::string_view schema, const SchemaOptions& options = {});
Status CheckRegex(std::string_view pattern);
Status CheckEbnf(std::string_view text);

// Where one sequence stands. Copying forks it.
class Matcher {
 public:
  explicit Matcher(GrammarPtr grammar);
  Matcher(const Matcher& other);
  Matcher& operator=(const Matcher& other);
  Matcher(Matcher&&) noexcept;
  Matcher& operator=(Matcher&&) noexcept;
  ~Matcher();

  // Sets every word of `bits`, which has at least MaskWords(vocabulary size) of them; tokens beyond
  // the vocabulary are not allowed. At least one bit is set, unless the vocabulary lacks a byte
  // that the form needs. Stop tokens may follow where Done().
  void Mask(std::span<uint32_t> bits);
  // Goes past one token. False, and nothing changes, if it may not follow.
  bool Accept(TokenId token);
  // Goes past text that was not sampled (a prompt's beginning of the answer); all or nothing.
  bool AcceptText(std::string_view text);
  bool Done() const;      // the text so far has the form
  bool finished() const;  // a stop token was accepted: nothing may follow
  // The one text that must come next, if there is only one way on; up to `max_bytes`. For jumping
  // ahead without sampling. Special tokens end it.
  std::string Forced(size_t max_bytes);
  // Takes the last `tokens` accepted tokens (or texts) back; at most kMaxRollback.
  void Rollback(int tokens);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::grammar
