#include <algorithm>
#include <atomic>
#include <bit>
#include <deque>
#include <unordered_map>

#include "base/check.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/grammar_impl.h"
#include "engine/grammar/space.h"
#include "engine/grammar/vocabulary.h"

namespace weir::grammar {
namespace {

using ConfigId = Space::ConfigId;
using TrieNode = Vocabulary::Impl::TrieNode;

// Walks the trie below `root`, which `start` has reached, and calls token(index in `sorted`) for
// each token on whose path the form holds, escape(node) where it ends for a caller not known.
template <class OnToken, class OnEscape>
void Walk(const Vocabulary::Impl& v, Space& space, uint32_t root, ConfigId start,
          std::vector<ConfigId>& at, const OnToken& on_token, const OnEscape& on_escape) {
  at.resize(v.longest + 2);
  const TrieNode* nodes = v.nodes.data();
  const uint32_t end = nodes[root].end;
  at[nodes[root].depth] = start;
  for (uint32_t i = root + 1; i < end;) {
    const TrieNode& node = nodes[i];
    const ConfigId config = space.Step(at[node.depth - 1u], node.byte);
    const bool dead = space.Heads(config).empty();
    if (config != Space::kDead) {
      for (uint32_t k = node.tokens; k < nodes[i + 1].tokens; ++k) on_token(k);
      if (space.Escapes(config) && node.end > i + 1) on_escape(i);
    }
    if (dead) {
      i = node.end;
    } else {
      at[node.depth] = config;
      ++i;
    }
  }
}

void SetBit(std::span<uint32_t> bits, TokenId id) {
  bits[static_cast<size_t>(id) / 32] |= uint32_t{1} << (static_cast<uint32_t>(id) % 32);
}

}  // namespace

std::shared_ptr<const LocalMask> Grammar::MaskOf(StateId state) const {
  {
    std::lock_guard lock(mutex_);
    const auto it = masks_.find(state);
    if (it != masks_.end()) return it->second;
  }
  const Vocabulary::Impl& v = vocabulary_->impl();
  auto made = std::make_shared<LocalMask>();
  Space space(automaton_);
  std::vector<ConfigId> at;
  std::vector<uint32_t> found;
  Walk(
      v, space, 0, space.Of({{state, Space::kUnknown}}), at,
      [&](uint32_t k) { found.push_back(k); },
      [&](uint32_t node) { made->escapes.push_back(node); });
  const size_t words = MaskWords(vocabulary_->size());
  if (found.size() > words) {
    made->bits.resize(words);
    for (const uint32_t k : found) SetBit(made->bits, v.sorted[k]);
  } else {
    made->tokens.reserve(found.size());
    for (const uint32_t k : found) made->tokens.push_back(v.sorted[k]);
  }
  made->tokens.shrink_to_fit();
  made->escapes.shrink_to_fit();
  const size_t bytes = sizeof(LocalMask) + made->bits.size() * 4 + made->tokens.size() * 4 +
                       made->escapes.size() * 4 + 64;
  std::lock_guard lock(mutex_);
  if (mask_bytes_ + bytes > kMaxCachedMaskBytes) {
    masks_.clear();
    mask_bytes_ = 0;
  }
  const auto [it, fresh] = masks_.try_emplace(state, std::move(made));
  if (fresh) mask_bytes_ += bytes;
  return it->second;
}

struct Matcher::Impl {
  explicit Impl(GrammarPtr g) : grammar(std::move(g)), space(grammar->automaton()) {
    now = space.Of({{grammar->automaton().start, Space::kBottom}});
  }
  Impl(const Impl& other) : grammar(other.grammar), space(grammar->automaton()) { TakeFrom(other); }

  // Positions of another space, made anew in this one.
  void TakeFrom(const Impl& other) {
    now = other.space.CopyTo(space, other.now);
    for (const ConfigId config : other.history) {
      history.push_back(other.space.CopyTo(space, config));
    }
    finished = other.finished;
  }

  void Advance(ConfigId to) {
    history.push_back(now);
    if (history.size() > kMaxRollback) history.pop_front();
    now = to;
    if (space.full()) {
      Impl fresh(*this);
      space = std::move(fresh.space);
      history = std::move(fresh.history);
      now = fresh.now;
      masks.clear();
    }
  }

  ConfigId Read(ConfigId config, std::string_view text) {
    for (const char c : text) {
      config = space.Step(config, static_cast<uint8_t>(c));
      if (config == Space::kDead) break;
    }
    return config;
  }

  void Compute(std::span<uint32_t> bits) {
    const Vocabulary::Impl& v = grammar->vocabulary().impl();
    const std::vector<Space::Head> heads = space.Heads(now);
    // Masks that know nothing of the caller know nothing of its depth: near the bound, every token
    // is read in full. A byte opens a few calls at most.
    const int64_t deep = kMaxDepth - 8 * static_cast<int64_t>(v.longest);
    if (std::any_of(heads.begin(), heads.end(), [&](const Space::Head& head) {
          return head.frame > Space::kUnknown && space.frame(head.frame).depth > deep;
        })) {
      Walk(
          v, space, 0, now, path, [&](uint32_t k) { SetBit(bits, v.sorted[k]); }, [](uint32_t) {});
      return;
    }
    for (const Space::Head& head : heads) {
      const std::shared_ptr<const LocalMask> mask = grammar->MaskOf(head.state);
      for (size_t w = 0; w < mask->bits.size(); ++w) bits[w] |= mask->bits[w];
      for (const TokenId id : mask->tokens) SetBit(bits, id);
      if (head.frame <= Space::kUnknown || mask->escapes.empty()) continue;
      const Space::Frame frame = space.frame(head.frame);
      const ConfigId after = space.Of({{frame.state, frame.below}});
      for (const uint32_t node : mask->escapes) {
        Walk(
            v, space, node, after, path, [&](uint32_t k) { SetBit(bits, v.sorted[k]); },
            [](uint32_t) {});
      }
    }
  }

  GrammarPtr grammar;
  Space space;
  ConfigId now = Space::kDead;
  std::deque<ConfigId> history;  // before each token, the oldest first
  bool finished = false;
  std::vector<ConfigId> path;
  // Whole masks of the last few configs: text within a string asks for the same one many times.
  static constexpr size_t kKept = 16;
  std::unordered_map<ConfigId, std::vector<uint32_t>> masks;
};

Matcher::Matcher(GrammarPtr grammar) {
  CHECK(grammar != nullptr && grammar->has_vocabulary());
  impl_ = std::make_unique<Impl>(std::move(grammar));
}
Matcher::Matcher(const Matcher& other) : impl_(std::make_unique<Impl>(*other.impl_)) {}
Matcher& Matcher::operator=(const Matcher& other) {
  if (this != &other) impl_ = std::make_unique<Impl>(*other.impl_);
  return *this;
}
Matcher::Matcher(Matcher&&) noexcept = default;
Matcher& Matcher::operator=(Matcher&&) noexcept = default;
Matcher::~Matcher() = default;

void Matcher::Mask(std::span<uint32_t> bits) {
  Impl& m = *impl_;
  const Vocabulary::Impl& v = m.grammar->vocabulary().impl();
  const size_t words = MaskWords(m.grammar->vocabulary().size());
  CHECK_MSG(bits.size() >= words, "{} words for a mask of {}", bits.size(), words);
  std::fill(bits.begin(), bits.end(), 0u);
  if (!m.finished) {
    const auto kept = m.masks.find(m.now);
    if (kept != m.masks.end()) {
      std::copy(kept->second.begin(), kept->second.end(), bits.begin());
    } else {
      m.Compute(bits.first(words));
      if (m.masks.size() >= Impl::kKept) m.masks.clear();
      m.masks.emplace(m.now, std::vector<uint32_t>(bits.begin(), bits.begin() + words));
    }
  }
  if (m.finished || m.space.Ends(m.now)) {
    for (const TokenId id : v.stops) SetBit(bits, id);
  }
}

bool Matcher::Accept(TokenId token) {
  Impl& m = *impl_;
  const Vocabulary::Impl& v = m.grammar->vocabulary().impl();
  if (token < 0 || static_cast<size_t>(token) >= v.text.size() || m.finished) return false;
  const std::string& text = v.text[static_cast<size_t>(token)];
  const ConfigId to = text.empty() ? Space::kDead : m.Read(m.now, text);
  if (to != Space::kDead) {
    m.Advance(to);
    return true;
  }
  if (!v.is_stop[static_cast<size_t>(token)] || !m.space.Ends(m.now)) return false;
  m.Advance(m.now);
  m.finished = true;
  return true;
}

bool Matcher::AcceptText(std::string_view text) {
  Impl& m = *impl_;
  if (m.finished || text.find(kSpecialMark) != std::string_view::npos) return false;
  const ConfigId to = m.Read(m.now, text);
  if (to == Space::kDead) return false;
  m.Advance(to);
  return true;
}

bool Matcher::Done() const { return impl_->space.Ends(impl_->now); }
bool Matcher::finished() const { return impl_->finished; }

std::string Matcher::Forced(size_t max_bytes) {
  Impl& m = *impl_;
  std::string out;
  ConfigId at = m.now;
  while (!m.finished && out.size() < max_bytes && !m.space.Ends(at)) {
    int only = -1;
    for (int byte = 0; byte < 256; ++byte) {
      if (m.space.Step(at, static_cast<uint8_t>(byte)) == Space::kDead) continue;
      if (only >= 0) {
        only = -1;
        break;
      }
      only = byte;
    }
    if (only < 0 || static_cast<char>(only) == kSpecialMark) break;
    out += static_cast<char>(only);
    at = m.space.Step(at, static_cast<uint8_t>(only));
  }
  return out;
}

void Matcher::Rollback(int tokens) {
  Impl& m = *impl_;
  CHECK_MSG(tokens >= 0 && static_cast<size_t>(tokens) <= m.history.size(),
            "{} tokens to take back, {} are known", tokens, m.history.size());
  for (; tokens > 0; --tokens) {
    m.now = m.history.back();
    m.history.pop_back();
    m.finished = false;
  }
}

}  // namespace weir::grammar
