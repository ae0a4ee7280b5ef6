#include "engine/serve/output_constraint.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "base/check.h"
#include "engine/serve/chat_format.h"

namespace weir::serve {
namespace {

using Kind = wire::OutputFormat::Kind;

class GrammarFollower final : public Constraint::Follower {
 public:
  GrammarFollower(grammar::GrammarPtr grammar, size_t tokens)
      : matcher_(std::move(grammar)), words_(grammar::MaskWords(static_cast<int>(tokens)) + 1) {}

  void Allowed(std::span<uint64_t> words) override {
    matcher_.Mask(std::span(words_).first(words_.size() - 1));
    for (size_t i = 0; i < words.size(); ++i) {
      const uint64_t low = 2 * i < words_.size() ? words_[2 * i] : 0;
      const uint64_t high = 2 * i + 1 < words_.size() ? words_[2 * i + 1] : 0;
      words[i] = low | high << 32;
    }
  }
  void Accept(int32_t token) override { CHECK(matcher_.Accept(token)); }

 private:
  grammar::Matcher matcher_;
  std::vector<uint32_t> words_;  // one more than the mask has, always 0
};

class GrammarConstraint final : public Constraint {
 public:
  GrammarConstraint(grammar::GrammarPtr grammar, size_t tokens)
      : grammar_(std::move(grammar)), tokens_(tokens) {}
  std::unique_ptr<Follower> Follow() const override {
    return std::make_unique<GrammarFollower>(grammar_, tokens_);
  }

 private:
  grammar::GrammarPtr grammar_;
  size_t tokens_;
};

// Any text up to a token, then what another constraint says.
class AfterToken final : public Constraint {
 public:
  AfterToken(int32_t token, std::vector<int32_t> stops, std::shared_ptr<const Constraint> then)
      : token_(token), stops_(std::move(stops)), then_(std::move(then)) {}

  std::unique_ptr<Follower> Follow() const override { return std::make_unique<Way>(*this); }

 private:
  class Way final : public Follower {
   public:
    explicit Way(const AfterToken& owner) : owner_(owner), then_(owner.then_->Follow()) {}
    void Allowed(std::span<uint64_t> words) override {
      if (past_) return then_->Allowed(words);
      std::fill(words.begin(), words.end(), ~uint64_t{0});
      for (const int32_t stop : owner_.stops_) {
        const auto at = static_cast<size_t>(stop);
        if (stop >= 0 && at / 64 < words.size()) words[at / 64] &= ~(uint64_t{1} << (at % 64));
      }
    }
    void Accept(int32_t token) override {
      if (past_) return then_->Accept(token);
      past_ = token == owner_.token_;
    }

   private:
    const AfterToken& owner_;  // the request keeps it as long as its answers
    std::unique_ptr<Follower> then_;
    bool past_ = false;
  };

  int32_t token_;
  std::vector<int32_t> stops_;
  std::shared_ptr<const Constraint> then_;
};

std::string KeyOf(const wire::OutputFormat& format) {
  return fmt::format("{}{}{}", static_cast<int>(format.kind), format.strict ? "!" : ":",
                     format.text);
}

}  // namespace

Result<grammar::GrammarPtr> OutputConstraints::Compile(const wire::OutputFormat& format) {
  const std::string key = KeyOf(format);
  std::shared_ptr<const grammar::Vocabulary> vocabulary;
  {
    const std::lock_guard lock(mutex_);
    const auto it =
        std::find_if(kept_.begin(), kept_.end(), [&](const Kept& k) { return k.key == key; });
    if (it != kept_.end()) {
      kept_.splice(kept_.begin(), kept_, it);
      return it->grammar;
    }
    vocabulary = vocabulary_;
  }
  if (!vocabulary) {  // outside of the lock; two at once would make it twice, and keep one
    auto fresh = grammar::Vocabulary::Create(tokenizer_);
    const std::lock_guard lock(mutex_);
    if (!vocabulary_) vocabulary_ = std::move(fresh);
    vocabulary = vocabulary_;
  }
  grammar::GrammarPtr made;
  switch (format.kind) {
    case Kind::kText:
      CheckFailed(__FILE__, __LINE__, "text has no grammar", {});
    case Kind::kJsonObject:
      made = TRY(grammar::CompileJsonObject(vocabulary));
      break;
    case Kind::kJsonSchema:
      made = TRY(grammar::CompileJsonSchema(
          vocabulary, format.text, {.additional_properties = !format.strict, .whitespace = true}));
      break;
    case Kind::kRegex:
      made = TRY(grammar::CompileRegex(vocabulary, format.text));
      break;
    case Kind::kGrammar:
      made = TRY(grammar::CompileEbnf(vocabulary, format.text));
      break;
  }
  const std::lock_guard lock(mutex_);
  kept_.push_front({key, made});
  if (kept_.size() > kKept) kept_.pop_back();
  return made;
}

bool OutputConstraints::Has(const wire::OutputFormat& format) {
  if (format.kind == Kind::kText) return true;
  const std::string key = KeyOf(format);
  const std::lock_guard lock(mutex_);
  return std::any_of(kept_.begin(), kept_.end(), [&](const Kept& k) { return k.key == key; });
}

Result<std::shared_ptr<const Constraint>> OutputConstraints::For(const wire::OutputFormat& format,
                                                                 bool thinks) {
  if (format.kind == Kind::kText) return std::shared_ptr<const Constraint>();
  grammar::GrammarPtr grammar = TRY(Compile(format));
  std::shared_ptr<const Constraint> constraint = std::make_shared<GrammarConstraint>(
      std::move(grammar), static_cast<size_t>(tokenizer_.vocab_size()));
  const std::optional<int32_t> close = tokenizer_.Find(kThinkClose);
  if (thinks && close) {
    constraint =
        std::make_shared<AfterToken>(*close, tokenizer_.stop_tokens(), std::move(constraint));
  }
  return constraint;
}

}  // namespace weir::serve
