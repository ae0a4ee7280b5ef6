// A plain driver for LLVMFuzzerTestOneInput: replays every file of the corpus, then feeds seeded
// mutations of them until the time is up. The clang coverage-guided fuzzer links the same targets.
//
//   data_pii_fuzz [--seconds N] [--runs N] [FILE_OR_FOLDER...]     SEED=... replays a run
//
// On a crash, the input that caused it is in $TMPDIR/weir-fuzz-crash-PID (written before each run
// to a memory-mapped file, so that it survives the abort): 8 bytes of length, then the input.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/random.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Bytes = std::vector<uint8_t>;
constexpr size_t kMaxBytes = 1 << 16;

void Load(const std::filesystem::path& path, std::vector<Bytes>& corpus) {
  std::error_code ec;
  if (std::filesystem::is_directory(path, ec)) {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path, ec)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    for (const auto& file : files) Load(file, corpus);
    return;
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) return;
  Bytes bytes((std::istreambuf_iterator<char>(in)), {});
  if (bytes.size() > kMaxBytes) bytes.resize(kMaxBytes);
  corpus.push_back(std::move(bytes));
}

Bytes Mutated(const std::vector<Bytes>& corpus, weir::Random& random) {
  Bytes b = corpus[random.Below(corpus.size())];
  for (uint64_t n = 1 + random.Below(6); n > 0; --n) {
    const size_t at = b.empty() ? 0 : random.Below(b.size());
    switch (random.Below(7)) {
      case 0:
        if (!b.empty()) b[at] ^= static_cast<uint8_t>(1u << random.Below(8));
        break;
      case 1:
        if (!b.empty()) b[at] = static_cast<uint8_t>(random.Next());
        break;
      case 2:
        b.insert(b.begin() + static_cast<ptrdiff_t>(at), static_cast<uint8_t>(random.Next()));
        break;
      case 3:  // cut a piece out
        if (!b.empty()) {
          const size_t length = std::min<size_t>(b.size() - at, 1 + random.Below(32));
          b.erase(b.begin() + static_cast<ptrdiff_t>(at),
                  b.begin() + static_cast<ptrdiff_t>(at + length));
        }
        break;
      case 4:  // splice a piece of another file in
      {
        const Bytes& other = corpus[random.Below(corpus.size())];
        if (other.empty()) break;
        const size_t from = random.Below(other.size());
        const size_t length = std::min<size_t>(other.size() - from, 1 + random.Below(64));
        b.insert(b.begin() + static_cast<ptrdiff_t>(at),
                 other.begin() + static_cast<ptrdiff_t>(from),
                 other.begin() + static_cast<ptrdiff_t>(from + length));
        break;
      }
      case 5:  // an interesting integer
        if (b.size() >= at + 8) {
          constexpr uint64_t kEdges[] = {0,
                                         1,
                                         0x7F,
                                         0x80,
                                         0xFF,
                                         0x7FFFFFFF,
                                         0x80000000,
                                         0xFFFFFFFF,
                                         0x7FFFFFFFFFFFFFFF,
                                         0x8000000000000000,
                                         ~uint64_t{0}};
          const uint64_t edge = kEdges[random.Below(std::size(kEdges))];
          std::memcpy(b.data() + at, &edge, size_t{1} << random.Below(4));
        }
        break;
      default:  // end early
        b.resize(random.Below(b.size() + 1));
    }
  }
  if (b.size() > kMaxBytes) b.resize(kMaxBytes);
  return b;
}

}  // namespace

int main(int argc, char** argv) {
  double seconds = 2;
  uint64_t max_runs = UINT64_MAX;
  std::vector<Bytes> corpus;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
      seconds = std::atof(argv[++i]);
    else if (std::strcmp(argv[i], "--runs") == 0 && i + 1 < argc)
      max_runs = std::strtoull(argv[++i], nullptr, 0);
    else
      Load(argv[i], corpus);
  }
  const char* seed_text = std::getenv("SEED");
  const uint64_t seed =
      seed_text
          ? std::strtoull(seed_text, nullptr, 0)
          : static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  if (corpus.empty()) corpus.push_back({});

  const char* temp = std::getenv("TMPDIR");
  const std::string crash_name =
      std::string(temp ? temp : "/tmp") + "/weir-fuzz-crash-" + std::to_string(getpid());
  std::printf("SEED=0x%llx corpus=%zu, a crash leaves its input in %s\n",
              static_cast<unsigned long long>(seed), corpus.size(), crash_name.c_str());
  std::fflush(stdout);
  const int fd = open(crash_name.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0644);
  if (fd < 0 || ftruncate(fd, kMaxBytes + 8) != 0) return std::perror("crash file"), 1;
  auto* kept = static_cast<uint8_t*>(
      mmap(nullptr, kMaxBytes + 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  if (kept == MAP_FAILED) return std::perror("crash file"), 1;

  const auto run = [&](const Bytes& input) {
    const uint64_t size = input.size();
    std::memcpy(kept, &size, 8);  // first 8 bytes: the length of the input that follows
    if (size) std::memcpy(kept + 8, input.data(), size);
    LLVMFuzzerTestOneInput(input.data(), input.size());
  };
  for (const Bytes& input : corpus) run(input);
  weir::Random random(seed);
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  uint64_t runs = 0;
  while (runs < max_runs && std::chrono::steady_clock::now() < end) {
    run(Mutated(corpus, random));
    ++runs;
  }
  unlink(crash_name.c_str());
  std::printf("%llu mutated inputs, none broke it\n", static_cast<unsigned long long>(runs));
  return 0;
}
