// Trains a byte-level BPE vocabulary from text.
// Source: Sennrich, Haddow, Birch, "Neural Machine Translation of Rare Words with Subword Units",
// 2016; over bytes as in Radford et al., "Language Models are Unsupervised Multitask Learners",
// 2019.
//
// Add() counts the words that the pre-tokenizer cuts; Train() joins, again and again, the pair of
// adjacent tokens that occurs most often. Ties go to the smaller (left id, right id). Equal texts
// (as a multiset of words) and options give equal tokenizers on every machine.
//
// Cost: Add is one pass; Train keeps a heap of pair counts and touches only the words that hold the
// joined pair. TrainReference() recounts everything for each merge: the obvious twin, for tests.
// Ids: special tokens first, then the 256 bytes in order, then the merges in order.
// Memory: one copy of each distinct word; words beyond max_words distinct ones are dropped,
// counted.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "engine/model/tokenizer.h"

namespace weir::model {

struct BpeTrainerOptions {
  int vocab_size = 4096;  // specials, bytes and merges together; fewer when pairs run out
  std::vector<std::string> special_tokens = {"<|endoftext|>"};  // the first is bos and eos
  int64_t min_pair_count = 2;
  PreTokenizer pre = PreTokenizer::kGpt2;
  int64_t max_words = 4'000'000;
  int max_word_bytes = 256;  // longer words are cut; no token gets longer than this
};

class BpeTrainer {
 public:
  // Errors: a vocabulary that does not hold bytes and specials, or an absurd one.
  static Result<BpeTrainer> Create(BpeTrainerOptions options);
  // One document. Words do not cross documents.
  void Add(std::string_view text);
  Result<Tokenizer> Train() const;
  Result<Tokenizer> TrainReference() const;

  int64_t distinct_words() const { return static_cast<int64_t>(counts_.size()); }
  int64_t dropped_words() const { return dropped_words_; }

 private:
  explicit BpeTrainer(BpeTrainerOptions options) : options_(std::move(options)) {}
  struct Word {
    std::vector<int32_t> ids;
    int64_t count;
  };
  std::vector<Word> SortedWords() const;

  BpeTrainerOptions options_;
  std::unordered_map<std::string, int64_t> counts_;
  int64_t dropped_words_ = 0;
};

}  // namespace weir::model
