// Secrets: random keys, their hashes, comparison in constant time. Nothing here is ever logged.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace weir::io {

// n bytes from the operating system's generator.
std::string SecureRandomBytes(size_t n);
// n random bytes as 2n hex digits: for ids and names that must not be guessed.
std::string SecureRandomHex(size_t n);
// "weir_" and 43 characters of URL-safe base64: 256 bits.
std::string NewKeySecret();
// What is stored in place of a key. Keys have 256 bits of chance, so one round of BLAKE2b is
// enough; this is not for passwords that people choose. Hex.
std::string HashOfSecret(std::string_view secret);
// Takes the same time wherever they differ; the lengths are not secret.
bool EqualInConstantTime(std::string_view a, std::string_view b);

// A 0600 file with one secret in it. Read refuses a file that others may read
// (kPermissionDenied, the hint says chmod 600).
Status WriteSecretFile(const std::string& path, std::string_view secret);
Result<std::string> ReadSecretFile(const std::string& path);

}  // namespace weir::io
