// From HTTP/2's header blocks to the heads that everything in Colony reads (head.h). The text of HTTP/1.1 is written as
// the list is decoded, and the views into it with it: there is no second parse. What the strict parser of heads would
// refuse is refused here with the same words. Pure.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "transport/http/h2_field.h"
#include "transport/http/head.h"
#include "transport/http/hpack_decoder.h"

namespace colony::http {

enum class H2Read : uint8_t {
  kGood,
  kRefused,    // to be answered: `status` and `problem`
  kMalformed,  // the stream is to be reset; the block was read to its end
  kBroken,     // no HPACK: the connection cannot go on
  kBomb,       // few bytes that become very many fields
};

// Where one block at a time becomes text. One per thread is enough: what it shows holds until the next block.
class H2HeadReader {
 public:
  static constexpr size_t kMaxListBytes = 64 * 1024;  // LIMIT: name + value + 32 per field (RFC 9113, 6.5.2)

  static H2HeadReader& of_this_thread();
  // `more`: a body follows; without content-length it is then announced as chunked, which is how this form says "of
  // unknown length". Reading stops with kBomb above `most` bytes of a list. With kRefused the head holds its method only.
  H2Read request(HpackTable& table, std::string_view block, size_t most, bool more, RequestHead& head);
  // `lines`: "name: value\r\n". Refused with 400, as in the chunked coding: above kMaxTrailerBytes, and a field that may
  // not be a trailer.
  H2Read trailers(HpackTable& table, std::string_view block, size_t most, std::string_view& lines);
  // The block changes the tables and is of no other use.
  H2Read nothing(HpackTable& table, std::string_view block, size_t most);

  int status() const { return status_; }
  std::string_view problem() const { return problem_; }  // static text

 private:
  struct List;  // what was noted of one list
  void add(const HpackField& field, RequestHead& head, List& list);
  void add_pseudo(const HpackField& field, List& list);
  void start(RequestHead& head, List& list);  // the start line and Host
  void add_line(std::string_view name, std::string_view value, RequestHead& head);
  Field* next_field(RequestHead& head, size_t name, size_t value);
  H2Read finish(bool more, RequestHead& head, List& list);
  void refuse(int status, std::string_view problem);
  void put(std::string_view s);

  // As large as any head can be, so that views hold while it grows. Pages that are not used cost nothing.
  static constexpr size_t kRoom = kMaxListBytes + 1024;
  std::unique_ptr<char[]> text_, pseudo_;
  char* to_ = nullptr;  // in text_
  HpackDecoder decoder_{H2Field::marks()};
  std::string scratch_, cookie_;
  int status_ = 0;
  std::string_view problem_;
};

// Appends "name: value\r\n" unless the name is a pseudo field or one that the connection owns.
void append_trailer(std::string& lines, std::string_view name, std::string_view value);

// Walks "name: value\r\n" lines: the next one, or false at the end. Broken lines are left out.
bool next_line(std::string_view& lines, std::string_view& name, std::string_view& value);

}  // namespace colony::http
