#include "io/secret.h"

#include <errno.h>
#include <sodium.h>
#include <sys/stat.h>

#include <array>

#include "base/check.h"
#include "io/files.h"

namespace weir::io {
namespace {
constexpr size_t kKeyBytes = 32;
constexpr int64_t kMaxSecretBytes = 4096;
// BLAKE2b's key only separates these hashes from others' of the same secret; it hides nothing.
constexpr std::string_view kDomain = "weir key hash v1";

void Start() {
  static const bool started = sodium_init() >= 0;
  CHECK(started);
}

std::string Hex(const unsigned char* bytes, size_t size) {
  std::string hex(size * 2 + 1, '\0');
  sodium_bin2hex(hex.data(), hex.size(), bytes, size);
  hex.pop_back();
  return hex;
}
}  // namespace

std::string SecureRandomBytes(size_t n) {
  Start();
  std::string bytes(n, '\0');
  randombytes_buf(bytes.data(), n);
  return bytes;
}

std::string SecureRandomHex(size_t n) {
  const std::string bytes = SecureRandomBytes(n);
  return Hex(reinterpret_cast<const unsigned char*>(bytes.data()), n);
}

std::string NewKeySecret() {
  const std::string bytes = SecureRandomBytes(kKeyBytes);
  constexpr int kVariant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;
  std::string text(sodium_base64_encoded_len(kKeyBytes, kVariant), '\0');
  sodium_bin2base64(text.data(), text.size(), reinterpret_cast<const unsigned char*>(bytes.data()),
                    kKeyBytes, kVariant);
  text.pop_back();  // the NUL
  return "weir_" + text;
}

std::string HashOfSecret(std::string_view secret) {
  std::array<unsigned char, crypto_generichash_BYTES> sum{};
  crypto_generichash(sum.data(), sum.size(), reinterpret_cast<const unsigned char*>(secret.data()),
                     secret.size(), reinterpret_cast<const unsigned char*>(kDomain.data()),
                     kDomain.size());
  return Hex(sum.data(), sum.size());
}

bool EqualInConstantTime(std::string_view a, std::string_view b) {
  return a.size() == b.size() && sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

Status WriteSecretFile(const std::string& path, std::string_view secret) {
  return WriteFileDurably(path, std::string(secret) + "\n", 0600);
}

Result<std::string> ReadSecretFile(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return ErrnoError(errno, "cannot read", path);
  if ((info.st_mode & 077) != 0) {
    return Error(Code::kPermissionDenied, path + " holds a secret and others may read it")
        .Hint("chmod 600 " + path + ", and replace the key if others could have read it");
  }
  std::string secret = TRY(ReadFile(path, kMaxSecretBytes));
  while (!secret.empty() && (secret.back() == '\n' || secret.back() == '\r')) secret.pop_back();
  return secret;
}

}  // namespace weir::io
