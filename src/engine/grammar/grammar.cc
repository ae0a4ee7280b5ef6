#include "engine/grammar/grammar.h"

#include <fmt/format.h>

#include "engine/grammar/automaton.h"
#include "engine/grammar/ebnf.h"
#include "engine/grammar/grammar_impl.h"
#include "engine/grammar/regex_rules.h"
#include "engine/grammar/schema_rules.h"

namespace weir::grammar {
namespace {

using VocabularyPtr = std::shared_ptr<const Vocabulary>;

Result<GrammarPtr> Finish(const Rules& rules, RuleId root, VocabularyPtr vocabulary) {
  return GrammarPtr(
      std::make_shared<const Grammar>(TRY(Build(rules, root)), std::move(vocabulary)));
}

Status CheckSize(std::string_view text) {
  if (text.size() <= kMaxSourceBytes) return {};
  return Error(Code::kTooLarge,
               fmt::format("{} bytes; at most {} are taken", text.size(), kMaxSourceBytes));
}

Result<GrammarPtr> Any(VocabularyPtr vocabulary, bool object) {
  Rules rules;
  const NodeId node = AnyJsonNode(rules, object, {});
  const RuleId root = rules.Rule("root", node);
  return Finish(rules, root, std::move(vocabulary));
}

}  // namespace

Result<GrammarPtr> CompileJsonSchema(VocabularyPtr vocabulary, std::string_view schema,
                                     const SchemaOptions& options) {
  TRY(CheckSize(schema));
  Rules rules;
  const NodeId node = TRY(SchemaNodeOf(rules, schema, options));
  const RuleId root = rules.Rule("the schema", node);
  return Finish(rules, root, std::move(vocabulary));
}

Result<GrammarPtr> CompileJsonObject(VocabularyPtr vocabulary) {
  return Any(std::move(vocabulary), true);
}
Result<GrammarPtr> CompileJsonValue(VocabularyPtr vocabulary) {
  return Any(std::move(vocabulary), false);
}

Result<GrammarPtr> CompileRegex(VocabularyPtr vocabulary, std::string_view pattern) {
  TRY(CheckSize(pattern));
  Rules rules;
  const NodeId node = TRY(RegexNodeOf(rules, pattern, Anchoring::kWhole, Spelling::kPlain));
  const RuleId root = rules.Rule("the pattern", node);
  return Finish(rules, root, std::move(vocabulary));
}

Result<GrammarPtr> CompileEbnf(VocabularyPtr vocabulary, std::string_view text) {
  TRY(CheckSize(text));
  Rules rules;
  const RuleId root = TRY(EbnfRules(rules, text, vocabulary.get()));
  return Finish(rules, root, std::move(vocabulary));
}

Status CheckJsonSchema(std::string_view schema, const SchemaOptions& options) {
  const Result<GrammarPtr> made = CompileJsonSchema(nullptr, schema, options);
  return made ? Status() : Status(made.error());
}
Status CheckRegex(std::string_view pattern) {
  const Result<GrammarPtr> made = CompileRegex(nullptr, pattern);
  return made ? Status() : Status(made.error());
}
Status CheckEbnf(std::string_view text) {
  const Result<GrammarPtr> made = CompileEbnf(nullptr, text);
  return made ? Status() : Status(made.error());
}

}  // namespace weir::grammar
