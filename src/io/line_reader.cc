#include "io/line_reader.h"

#include <fmt/format.h>
#include <zlib.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "io/files.h"

namespace weir::io {

namespace {
constexpr size_t kPiece = 1 << 16;
}

// Raw bytes from a file or memory, inflated where they are gzip.
struct LineReader::Source {
  std::FILE* file = nullptr;
  std::string_view bytes;
  std::vector<unsigned char> in = std::vector<unsigned char>(kPiece);
  z_stream z{};
  bool inflating = false;
  bool looked = false;
  bool raw_end = false;
  bool member_open = false;  // inside a gzip member

  Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  ~Source() {
    if (file != nullptr) std::fclose(file);
    if (inflating) inflateEnd(&z);
  }

  size_t ReadRaw(unsigned char* to, size_t n) {
    if (file != nullptr) return std::fread(to, 1, n, file);
    n = std::min(n, bytes.size());
    std::memcpy(to, bytes.data(), n);
    bytes.remove_prefix(n);
    return n;
  }
  void Refill() {
    z.next_in = in.data();
    z.avail_in = static_cast<uInt>(ReadRaw(in.data(), in.size()));
    raw_end = z.avail_in == 0;
  }

  // Appends some bytes of text; false when there are no more.
  Result<bool> Append(std::string* text, const std::string& name) {
    if (!looked) {
      looked = true;
      Refill();
      if (z.avail_in >= 2 && in[0] == 0x1f && in[1] == 0x8b) {
        CHECK(inflateInit2(&z, 16 + MAX_WBITS) == Z_OK);
        inflating = true;
        member_open = true;
      }
    }
    if (!inflating) {
      if (z.avail_in == 0) Refill();
      if (file != nullptr && std::ferror(file) != 0) return ErrnoError(errno, "cannot read", name);
      text->append(reinterpret_cast<const char*>(z.next_in), z.avail_in);
      const bool more = z.avail_in > 0;
      z.avail_in = 0;
      return more;
    }
    const auto damaged = [&](std::string_view what) {
      return Error(Code::kDataLoss, fmt::format("{}: the gzip data {}", name, what))
          .Hint("fetch or write the file again; `gzip -t` says the same");
    };
    while (true) {
      if (z.avail_in == 0) Refill();
      if (raw_end) {
        if (member_open) return damaged("ends in the middle");
        return false;
      }
      if (!member_open) {
        if (*z.next_in != 0x1f) return false;  // padding after the last member
        inflateReset(&z);
        member_open = true;
      }
      const size_t had = text->size();
      text->resize(had + kPiece);
      z.next_out = reinterpret_cast<unsigned char*>(text->data() + had);
      z.avail_out = static_cast<uInt>(kPiece);
      const int status = inflate(&z, Z_NO_FLUSH);
      text->resize(had + kPiece - z.avail_out);
      if (status == Z_STREAM_END) {
        member_open = false;
      } else if (status != Z_OK && status != Z_BUF_ERROR) {
        return damaged(fmt::format("is damaged ({})", z.msg != nullptr ? z.msg : "bad data"));
      }
      if (text->size() > had) return true;
    }
  }
};

LineReader::LineReader(std::unique_ptr<Source> source, std::string name)
    : source_(std::move(source)), name_(std::move(name)) {}
LineReader::LineReader(LineReader&&) noexcept = default;
LineReader& LineReader::operator=(LineReader&&) noexcept = default;
LineReader::~LineReader() = default;

Result<LineReader> LineReader::Open(const std::string& path) {
  auto source = std::make_unique<Source>();
  source->file = std::fopen(path.c_str(), "rbe");
  if (source->file == nullptr) return ErrnoError(errno, "cannot open", path);
  return LineReader(std::move(source), path);
}

LineReader LineReader::OfBytes(std::string_view bytes, std::string name) {
  auto source = std::make_unique<Source>();
  source->bytes = bytes;
  return LineReader(std::move(source), std::move(name));
}

Result<bool> LineReader::Fill() {
  text_.erase(0, at_);
  at_ = 0;
  if (end_) return false;
  const bool more = TRY(source_->Append(&text_, name_));
  end_ = !more;
  return more;
}

Result<bool> LineReader::Next(std::string_view* line) {
  size_t searched = 0;
  while (true) {
    const size_t newline = text_.find('\n', at_ + searched);
    if (newline != std::string::npos || (end_ && at_ < text_.size())) {
      const size_t stop = newline != std::string::npos ? newline : text_.size();
      std::string_view got(text_.data() + at_, stop - at_);
      at_ = newline != std::string::npos ? newline + 1 : text_.size();
      if (!got.empty() && got.back() == '\r') got.remove_suffix(1);
      if (line_number_++ == 0 && got.starts_with("\xEF\xBB\xBF")) got.remove_prefix(3);
      *line = got;
      return true;
    }
    if (end_) return false;
    searched = text_.size() - at_;
    if (searched > kMaxLineBytes) {
      return Error(Code::kTooLarge, fmt::format("{}: line {} is longer than {} bytes", name_,
                                                line_number_ + 1, kMaxLineBytes))
          .Hint("is this a text file?");
    }
    TRY(Fill());
  }
}

}  // namespace weir::io
