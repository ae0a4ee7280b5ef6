// A large zeroed array of floats, on huge pages where the system has them: a product over hundreds
// of megabytes in 4 KiB pages spends a tenth of its time looking pages up.
// Threads: a value like a vector; move only.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "base/check.h"

namespace weir::train {

template <class T>
class BufferOf {
 public:
  BufferOf() = default;
  explicit BufferOf(int64_t n) : n_(n) {
    CHECK_MSG(n >= 0, "n={}", n);
    if (n == 0) return;
    void* p = mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK_MSG(p != MAP_FAILED, "no memory for {} bytes", bytes());
    (void)madvise(p, bytes(), MADV_HUGEPAGE);
    data_ = static_cast<T*>(p);
  }
  BufferOf(BufferOf&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), n_(std::exchange(other.n_, 0)) {}
  BufferOf& operator=(BufferOf&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(n_, other.n_);
    return *this;
  }
  ~BufferOf() {
    if (data_ != nullptr) munmap(data_, bytes());
  }
  T* data() { return data_; }
  const T* data() const { return data_; }
  int64_t size() const { return n_; }
  std::span<T> span() { return {data_, static_cast<size_t>(n_)}; }
  std::span<const T> span() const { return {data_, static_cast<size_t>(n_)}; }

 private:
  size_t bytes() const { return static_cast<size_t>(n_) * sizeof(T); }
  T* data_ = nullptr;
  int64_t n_ = 0;
};
using Buffer = BufferOf<float>;

}  // namespace weir::train
