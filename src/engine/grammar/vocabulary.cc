#include "engine/grammar/vocabulary.h"

#include <algorithm>
#include <numeric>

#include "engine/grammar/rules.h"

namespace weir::grammar {
namespace {

constexpr size_t kMaxTokenBytes = 4096;  // longer ones are never allowed

}  // namespace

Vocabulary::Vocabulary(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Vocabulary::~Vocabulary() = default;
int Vocabulary::size() const { return static_cast<int>(impl_->text.size()); }

std::shared_ptr<const Vocabulary> Vocabulary::Create(const model::Tokenizer& tokenizer) {
  auto impl = std::make_unique<Impl>();
  const auto n = static_cast<size_t>(tokenizer.vocab_size());
  impl->text.resize(n);
  impl->is_stop.assign(n, 0);
  impl->stops = tokenizer.stop_tokens();
  for (const TokenId id : impl->stops) impl->is_stop[static_cast<size_t>(id)] = 1;
  for (size_t i = 0; i < n; ++i) {
    const auto id = static_cast<TokenId>(i);
    std::string text(tokenizer.BytesOf(id));
    if (tokenizer.IsSpecial(id)) {
      // (Stop tokens too: a grammar may name one that is a marker in this model's format.)
      text.insert(text.begin(), kSpecialMark);
    } else if (text.find(kSpecialMark) != std::string::npos) {
      continue;  // a byte that UTF-8 never has
    }
    if (text.empty() || text.size() > kMaxTokenBytes) continue;
    impl->longest = std::max(impl->longest, text.size());
    impl->text[i] = std::move(text);
    impl->sorted.push_back(id);
  }
  std::sort(impl->sorted.begin(), impl->sorted.end(), [&](TokenId a, TokenId b) {
    const int order =
        impl->text[static_cast<size_t>(a)].compare(impl->text[static_cast<size_t>(b)]);
    return order != 0 ? order < 0 : a < b;
  });
  using TrieNode = Impl::TrieNode;
  std::vector<TrieNode>& nodes = impl->nodes;
  nodes.push_back({});
  std::vector<uint32_t> path = {0};  // the nodes from the root to where the last token ended
  std::string_view last;
  const auto close = [&](size_t depth) {  // everything deeper than `depth` is complete
    while (path.size() > depth + 1) {
      nodes[path.back()].end = static_cast<uint32_t>(nodes.size());
      path.pop_back();
    }
  };
  for (size_t k = 0; k < impl->sorted.size(); ++k) {
    const std::string_view text = impl->text[static_cast<size_t>(impl->sorted[k])];
    const size_t shared = static_cast<size_t>(
        std::mismatch(text.begin(), text.end(), last.begin(), last.end()).first - text.begin());
    close(shared);
    for (size_t i = shared; i < text.size(); ++i) {
      path.push_back(static_cast<uint32_t>(nodes.size()));
      nodes.push_back({.tokens = static_cast<uint32_t>(k),
                       .depth = static_cast<uint16_t>(i + 1),
                       .byte = static_cast<uint8_t>(text[i])});
    }
    last = text;
  }
  close(0);
  nodes[0].end = static_cast<uint32_t>(nodes.size());
  nodes.push_back({.end = static_cast<uint32_t>(nodes.size() + 1),
                   .tokens = static_cast<uint32_t>(impl->sorted.size())});
  return std::shared_ptr<const Vocabulary>(new Vocabulary(std::move(impl)));
}

}  // namespace weir::grammar
