// Between HTTP/2's header lists and the head text of HTTP/1.1 that everything in Colony reads (head.h). Pure. The
// library has checked the grammar of names and values before; the result is parsed strictly once more.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace colony::http {

// Collects one request's header list. Recycled: its buffers are kept.
class H2HeadBuilder {
 public:
  void reset();
  // In the order in which they come; pseudo fields first.
  void add(std::string_view name, std::string_view value);
  // The head. `more`: a body follows; without content-length it is then announced as chunked, which is how this form
  // says "of unknown length". Valid until reset().
  std::string_view finish(bool more);

  bool too_large() const { return list_bytes_ > kMaxListBytes; }
  // Empty, or what is wrong with the request: static text for a 400.
  std::string_view problem() const { return problem_; }
  bool is_connect() const { return method_ == "CONNECT"; }
  std::string_view method() const { return method_; }

  static constexpr size_t kMaxListBytes = 64 * 1024;  // LIMIT: name + value + 32 per field (RFC 9113, 6.5.2)

 private:
  void start();  // the start line and Host

  std::string method_, path_, authority_, cookie_;
  std::string text_;
  size_t list_bytes_ = 0;
  bool started_ = false, has_length_ = false, has_host_ = false;
  std::string_view problem_;
};

// Appends "name: value\r\n" unless the name is a pseudo field or one that the connection owns.
void append_trailer(std::string& lines, std::string_view name, std::string_view value);

// Walks "name: value\r\n" lines: the next one, or false at the end. Broken lines are left out.
bool next_line(std::string_view& lines, std::string_view& name, std::string_view& value);

}  // namespace colony::http
