// Text that is put together piece by piece and is short as a rule: the head of a reply, the lines of its ids. It lies within
// its object, or on the heap once it is longer than usual.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

namespace colony {

class Text {
 public:
  Text(const Text&) = delete;
  Text& operator=(const Text&) = delete;

  // One look at the capacity for all pieces.
  template <class... Pieces>
  void append(const Pieces&... pieces) {
    append_all(std::string_view(pieces)...);
  }
  void append_number(uint64_t n) {
    char digits[20];
    append(std::string_view(digits, std::to_chars(digits, digits + sizeof digits, n).ptr));
  }
  void clear() { size_ = 0; }
  size_t size() const { return size_; }
  std::string_view view() const { return {data_, size_}; }
  operator std::string_view() const { return view(); }  // NOLINT(google-explicit-constructor): it is one

 protected:
  Text(char* own, size_t capacity) : data_(own), capacity_(capacity) {}
  ~Text() = default;

 private:
  template <class... Views>
  void append_all(Views... views) {
    const size_t more = (views.size() + ...);
    if (more > capacity_ - size_) [[unlikely]]
      grow(more);
    char* to = data_ + size_;
    const auto put = [&to](std::string_view piece) {
      if (!piece.empty()) std::memcpy(to, piece.data(), piece.size());
      to += piece.size();
    };
    (put(views), ...);
    size_ += more;
  }
  void grow(size_t more);

  char* data_;
  size_t size_ = 0, capacity_;
  std::unique_ptr<char[]> heap_;
};

// `kUsual` bytes of it take no memory but the object's.
template <size_t kUsual>
class ShortText final : public Text {
 public:
  ShortText() : Text(own_, kUsual) {}

 private:
  char own_[kUsual];
};

}  // namespace colony
