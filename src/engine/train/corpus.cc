#include "engine/train/corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/check.h"
#include "base/random.h"
#include "engine/model/bpe_trainer.h"
#include "io/files.h"

namespace weir::train {
namespace {

constexpr int64_t kPieceBytes = 64 << 10;
constexpr int64_t kTokenizerSampleBytes = 2 << 20;  // more does not change the frequent pairs
constexpr char kMagic[8] = {'W', 'E', 'I', 'R', 'T', 'O', 'K', '1'};

// Pieces [begin, end) of about kPieceBytes that end at a line's end, spread evenly over `size`
// bytes, together at most max_bytes.
std::vector<std::pair<int64_t, int64_t>> Pieces(int64_t size, int64_t max_bytes) {
  const int64_t all = (size + kPieceBytes - 1) / kPieceBytes;
  const int64_t wanted = std::max<int64_t>(1, std::min(all, max_bytes / kPieceBytes));
  std::vector<std::pair<int64_t, int64_t>> pieces;
  for (int64_t i = 0; i < wanted; ++i) {
    const int64_t begin = i * all / wanted * kPieceBytes;
    pieces.emplace_back(begin, std::min(size, begin + kPieceBytes));
  }
  return pieces;
}

// Whether this looks like text: some letters or digits, hardly any NUL or other control bytes.
bool LooksLikeText(std::string_view text) {
  int64_t control = 0, visible = 0;
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (u < 32 && u != '\n' && u != '\t' && u != '\r' && u != '\f' && u != 27) ++control;
    if (u > 32 && u != 127) ++visible;
  }
  return visible > 0 && control * 50 < static_cast<int64_t>(text.size());
}

}  // namespace

Result<std::string> ReadText(const std::string& path, int64_t max_bytes) {
  const int64_t size = TRY(io::FileSize(path));
  std::string text;
  const auto pieces = Pieces(size, max_bytes);
  const bool whole = size <= max_bytes;
  for (const auto& [begin, end] : pieces) {
    if (end == begin) continue;
    std::string piece = TRY(io::ReadFileAt(path, begin, end - begin));
    if (!whole) {  // from the first line's start to the last line's end
      const size_t first = begin == 0 ? 0 : piece.find('\n') + 1;
      const size_t last = piece.rfind('\n');
      if (last != std::string::npos && last + 1 > first)
        piece = piece.substr(first, last + 1 - first);
    }
    text += piece;
  }
  if (!LooksLikeText(text)) {
    return Error(Code::kInvalidArgument, fmt::format("{} has no text in it ({} bytes)", path, size))
        .Hint("give a file of plain UTF-8 text, or a folder made by `weir dataset build`");
  }
  return text;
}

Result<model::Tokenizer> TrainTokenizer(std::string_view text, int vocab_size) {
  model::BpeTrainerOptions options;
  options.vocab_size = vocab_size;
  model::BpeTrainer trainer = TRY(model::BpeTrainer::Create(options));
  for (const auto& [begin, end] :
       Pieces(static_cast<int64_t>(text.size()), kTokenizerSampleBytes)) {
    trainer.Add(text.substr(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
  }
  return trainer.Train();
}

std::vector<int32_t> Encode(const model::Tokenizer& tokenizer, std::string_view text,
                            kernels::ThreadPool* pool) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    size_t end = std::min<size_t>(text.size(), static_cast<size_t>(kPieceBytes));
    if (end < text.size()) {
      const size_t line = text.rfind('\n', end);
      if (line != std::string_view::npos && line > 0) end = line;
    }
    parts.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  std::vector<std::vector<int32_t>> ids(parts.size());
  kernels::ParallelFor(pool, static_cast<int64_t>(parts.size()), [&](int64_t i) {
    ids[static_cast<size_t>(i)] = tokenizer.Encode(parts[static_cast<size_t>(i)]);
  });
  std::vector<int32_t> all;
  for (const std::vector<int32_t>& part : ids) all.insert(all.end(), part.begin(), part.end());
  return all;
}

// "WEIRTOK1", u64 length of the key, the key, then int32 tokens to the end; little-endian.
Status WriteTokens(const std::string& path, std::string_view key, std::span<const int32_t> tokens) {
  std::string bytes(kMagic, sizeof(kMagic));
  const uint64_t key_size = key.size();
  bytes.append(reinterpret_cast<const char*>(&key_size), sizeof(key_size));
  bytes.append(key);
  bytes.append(reinterpret_cast<const char*>(tokens.data()), tokens.size_bytes());
  return io::WriteFileAtomically(path, bytes);
}

Result<std::vector<int32_t>> ReadTokens(const std::string& path, std::string_view key) {
  const std::string bytes = TRY(io::ReadFile(path, int64_t{16} << 30));
  const size_t head = sizeof(kMagic) + sizeof(uint64_t) + key.size();
  uint64_t key_size = 0;
  if (bytes.size() >= head) std::memcpy(&key_size, bytes.data() + sizeof(kMagic), sizeof(key_size));
  if (bytes.size() < head || std::memcmp(bytes.data(), kMagic, sizeof(kMagic)) != 0 ||
      key_size != key.size() ||
      std::string_view(bytes).substr(head - key.size(), key.size()) != key ||
      (bytes.size() - head) % sizeof(int32_t) != 0) {
    return Error(Code::kNotFound, fmt::format("{} holds the tokens of something else", path));
  }
  std::vector<int32_t> tokens((bytes.size() - head) / sizeof(int32_t));
  std::memcpy(tokens.data(), bytes.data() + head, bytes.size() - head);
  return tokens;
}

Result<Corpus> Corpus::Create(std::vector<int32_t> tokens, int64_t seq, double fraction,
                              uint64_t seed) {
  Corpus corpus;
  corpus.seq_ = seq;
  corpus.seed_ = seed;
  const int64_t n = static_cast<int64_t>(tokens.size());
  const int64_t period = std::max<int64_t>(2, std::llround(1.0 / fraction));
  // Blocks hold at least one window, and there are some periods of them where the text allows.
  const int64_t block =
      std::clamp<int64_t>(n / (8 * period), seq + 1, std::max<int64_t>(4096, seq + 1));
  const int64_t blocks = (n + block - 1) / block;
  const int64_t chosen = std::min(period / 2, std::max<int64_t>(0, n / block - 1));
  for (int64_t b = 0; b < blocks; ++b) {
    std::vector<int32_t>& to = b % period == chosen ? corpus.held_out_ : corpus.train_;
    to.insert(to.end(), tokens.begin() + b * block, tokens.begin() + std::min(n, (b + 1) * block));
  }
  if (corpus.train_tokens() < seq + 1 || corpus.held_out_tokens() < seq + 1) {
    return Error(Code::kInvalidArgument,
                 fmt::format(
                     "the text has {} tokens: too few for sequences of {} and a held-out part", n,
                     seq))
        .Hint("give more text, or a smaller --seq");
  }
  return corpus;
}

std::span<const int32_t> Corpus::Window(int64_t i) {
  const int64_t windows = (train_tokens() - 1) / seq_;
  const int64_t epoch = i / windows;
  if (epoch != epoch_) {
    Random random(seed_ * 0x9E3779B97F4A7C15u + static_cast<uint64_t>(epoch));
    // Each epoch cuts the text at other places; the last window must still fit.
    const int64_t room = train_tokens() - 1 - windows * seq_;
    shift_ = static_cast<int64_t>(random.Below(static_cast<uint64_t>(seq_)));
    if (windows == 1) shift_ = std::min(shift_, room);
    order_.resize(static_cast<size_t>(windows));
    std::iota(order_.begin(), order_.end(), 0);
    for (size_t k = order_.size(); k > 1; --k) std::swap(order_[k - 1], order_[random.Below(k)]);
    epoch_ = epoch;
  }
  const int64_t at = order_[static_cast<size_t>(i % windows)] * seq_ + shift_;
  const int64_t start = std::min(at, train_tokens() - seq_ - 1);
  return std::span(train_).subspan(static_cast<size_t>(start), static_cast<size_t>(seq_ + 1));
}

int64_t Corpus::held_out_windows() const { return (held_out_tokens() - 1) / seq_; }

std::span<const int32_t> Corpus::HeldOut(int64_t i) const {
  return std::span(held_out_).subspan(static_cast<size_t>(i * seq_), static_cast<size_t>(seq_ + 1));
}

}  // namespace weir::train
