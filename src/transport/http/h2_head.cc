// See h2_head.h.
#include "transport/http/h2_head.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "transport/http/chunked.h"
#include "transport/http/head_grammar.h"

namespace colony::http {

struct H2HeadReader::List {
  std::string_view method, path, authority, scheme;  // in pseudo_
  std::string_view host;                             // in text_
  char* to = nullptr;                                // in pseudo_
  uint64_t content_length = 0;
  size_t bytes = 0;
  bool malformed = false, started = false;
  bool http = false, has_length = false, has_host = false, has_expect = false;
};

H2HeadReader& H2HeadReader::of_this_thread() {
  static thread_local H2HeadReader reader;
  return reader;
}

void H2HeadReader::refuse(int status, std::string_view problem) {
  if (status_ != 0) return;
  status_ = status;
  problem_ = problem;
}

void H2HeadReader::put(std::string_view s) {
  if (!s.empty()) std::memcpy(to_, s.data(), s.size());
  to_ += s.size();
}

H2Read H2HeadReader::request(HpackTable& table, std::string_view block, size_t most, bool more, RequestHead& head) {
  if (!text_) {
    text_ = std::make_unique_for_overwrite<char[]>(kRoom);
    pseudo_ = std::make_unique_for_overwrite<char[]>(kRoom);
  }
  List list;
  list.to = pseudo_.get();
  to_ = text_.get();
  status_ = 0;
  problem_ = {};
  cookie_.clear();
  head.chunked = head.close = head.upgrade = head.http10 = head.expect_continue = false;
  head.content_length.reset();
  head.count = head.hop_fields = 0;
  decoder_.begin(table, block, scratch_);
  for (HpackField field;;) {
    const HpackDecoder::Next next = decoder_.next(field);
    if (next == HpackDecoder::Next::kBad) return H2Read::kBroken;
    if (next == HpackDecoder::Next::kEnd) break;
    if (list.malformed) continue;  // for the tables only
    list.bytes += field.size();
    if (list.bytes > kMaxListBytes) {
      if (list.bytes > most) return H2Read::kBomb;
      refuse(431, "the header list is larger than 64 KiB");
    } else {
      add(field, head, list);
    }
  }
  return finish(more, head, list);
}

void H2HeadReader::add(const HpackField& field, RequestHead& head, List& list) {
  if ((field.mark & (H2Field::kMalformed | H2Field::kRefused)) != 0) {
    if ((field.mark & H2Field::kMalformed) != 0) {
      list.malformed = true;
      return;
    }
    switch (H2Field::name_of(field.mark)) {
      case H2Field::kExpect: refuse(417, "Expect is known with 100-continue only"); break;
      case H2Field::kPath: refuse(400, "a character that may not stand in the request target"); break;
      default: refuse(400, "Host is not a host name with an optional port"); break;
    }
  }
  if (H2Field::is_pseudo(field.mark)) return add_pseudo(field, list);
  if (!list.started) start(head, list);
  switch (H2Field::name_of(field.mark)) {
    case H2Field::kHost:
      if (list.has_host) {
        list.malformed = true;
        return;
      }
      list.has_host = true;
      if (!list.authority.empty()) {
        if (field.value() != list.authority) refuse(400, "host differs from :authority");
        return;
      }
      list.host = {to_ + 6, field.value_size};
      break;
    case H2Field::kCookie:  // may come in crumbs (RFC 9113, 8.2.3); HTTP/1.1 knows one line
      if (!cookie_.empty()) cookie_.append("; ");
      cookie_.append(field.value());
      return;
    case H2Field::kContentLength:
      if (list.has_length) {
        list.malformed = true;
        return;
      }
      list.has_length = true;
      for (const char c : field.value())
        list.content_length = list.content_length * 10 + static_cast<uint64_t>(c - '0');
      break;
    case H2Field::kExpect: list.has_expect = true; break;
    default: break;
  }
  if (next_field(head, field.name_size, field.value_size) != nullptr) put(field.line());
}

// Pseudo fields come first and once, in any order; the start line wants them in its own.
void H2HeadReader::add_pseudo(const HpackField& field, List& list) {
  std::string_view* into = nullptr;
  switch (H2Field::name_of(field.mark)) {
    case H2Field::kMethod: into = &list.method; break;
    case H2Field::kPath: into = &list.path; break;
    case H2Field::kAuthority: into = &list.authority; break;
    default:
      into = &list.scheme;
      list.http = (field.mark & H2Field::kHttp) != 0;
      break;
  }
  if (!into->empty() || list.started) {
    list.malformed = true;
    return;
  }
  std::memcpy(list.to, field.value().data(), field.value_size);
  *into = {list.to, field.value_size};
  list.to += field.value_size;
}

// Room for the views of a line that is about to be written at to_.
Field* H2HeadReader::next_field(RequestHead& head, size_t name, size_t value) {
  if (head.count == kMaxFields + kMaxAddedFields) {
    refuse(431, "more than 100 fields");
    return nullptr;
  }
  Field& f = head.storage.field[head.count++];
  f.name = {to_, name};
  f.value = {to_ + name + 2, value};
  f.line = {to_, name + value + 4};
  f.hop_by_hop = false;
  return &f;
}

void H2HeadReader::add_line(std::string_view name, std::string_view value, RequestHead& head) {
  if (next_field(head, name.size(), value.size()) == nullptr) return;
  put(name);
  put(": ");
  put(value);
  put("\r\n");
}

void H2HeadReader::start(RequestHead& head, List& list) {
  list.started = true;
  const char* const begin = to_;
  put(list.method);
  put(" ");
  const char* const target = to_;
  put(list.path);
  put(" HTTP/1.1\r\n");
  head.start_line = {begin, to_};
  head.method = {begin, list.method.size()};
  head.target = {target, list.path.size()};
  if (list.authority.empty()) return;
  head.authority = {to_ + 6, list.authority.size()};
  add_line("host", list.authority, head);
}

H2Read H2HeadReader::finish(bool more, RequestHead& head, List& list) {
  if (!list.started) start(head, list);
  if (scratch_.size() > 16 * 1024) scratch_ = std::string();
  if (list.malformed) return H2Read::kMalformed;
  if (status_ == 431) return H2Read::kRefused;  // fields were left out
  if (list.method == "CONNECT") {
    if (!list.scheme.empty() || !list.path.empty() || list.authority.empty()) return H2Read::kMalformed;
    refuse(501, "CONNECT is not served");
    return H2Read::kRefused;
  }
  if (list.method.empty() || list.scheme.empty() || list.path.empty()) return H2Read::kMalformed;
  if (list.authority.empty()) head.authority = list.host;
  if (head.authority.empty()) return H2Read::kMalformed;
  const bool asterisk = list.path == "*" && list.method == "OPTIONS";
  if (list.path.front() != '/' && !asterisk) {
    if (list.http) return H2Read::kMalformed;
    refuse(400, "the target is not a path");
  }
  if (list.has_length) {
    if (!more && list.content_length > 0) return H2Read::kMalformed;
    head.content_length = list.content_length;
  }
  if (!cookie_.empty()) add_line("cookie", cookie_, head);
  if (more && !list.has_length) {
    add_line("transfer-encoding", "chunked", head);
    head.storage.field[head.count - 1].hop_by_hop = head.chunked = true;
    head.hop_fields = 1;
  }
  put("\r\n");
  head.block = {text_.get(), to_};
  head.names = 0;
  for (Field& f : std::span(&head.storage.field[0], head.count)) grammar::note_name(f, head);
  if (head.count > kMaxFields && counted_fields(head) > kMaxFields) refuse(431, "more than 100 fields");
  if (head.block.size() > kMaxHeadBytes) refuse(431, "the head is larger than 64 KiB");
  head.expect_continue = list.has_expect;
  head.as_received = head.target.front() == '/';
  const size_t mark = head.target.find('?');
  head.path = head.target.substr(0, mark);
  head.query = mark == std::string_view::npos ? std::string_view{} : head.target.substr(mark + 1);
  return status_ == 0 ? H2Read::kGood : H2Read::kRefused;
}

H2Read H2HeadReader::trailers(HpackTable& table, std::string_view block, size_t most, std::string_view& lines) {
  if (!text_) return H2Read::kBroken;  // no request came before
  to_ = text_.get();
  size_t bytes = 0;
  bool malformed = false;
  status_ = 0;
  problem_ = {};
  decoder_.begin(table, block, scratch_);
  for (HpackField field;;) {
    const HpackDecoder::Next next = decoder_.next(field);
    if (next == HpackDecoder::Next::kBad) return H2Read::kBroken;
    if (next == HpackDecoder::Next::kEnd) break;
    if (malformed) continue;
    bytes += field.size();
    if (bytes > most) return H2Read::kBomb;
    malformed = (field.mark & H2Field::kMalformed) != 0 || H2Field::is_pseudo(field.mark);
    if (malformed || status_ != 0) continue;
    if (static_cast<size_t>(to_ - text_.get()) + field.line().size() > kMaxTrailerBytes)
      refuse(400, kLargeTrailers);
    else if (!valid_trailers(field.line()))
      refuse(400, kBadTrailer);
    else
      put(field.line());
  }
  lines = {text_.get(), to_};
  if (malformed) return H2Read::kMalformed;
  return status_ == 0 ? H2Read::kGood : H2Read::kRefused;
}

H2Read H2HeadReader::nothing(HpackTable& table, std::string_view block, size_t most) {
  decoder_.begin(table, block, scratch_);
  size_t bytes = 0;
  for (HpackField field;;) {
    const HpackDecoder::Next next = decoder_.next(field);
    if (next == HpackDecoder::Next::kBad) return H2Read::kBroken;
    if (next == HpackDecoder::Next::kEnd) return H2Read::kGood;
    bytes += field.size();
    if (bytes > most) return H2Read::kBomb;
  }
}

void append_trailer(std::string& lines, std::string_view name, std::string_view value) {
  if (name.empty() || name[0] == ':') return;
  for (const std::string_view own : {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade",
                                     "te", "content-length", "host"}) {
    if (iequals(name, own)) return;
  }
  lines.append(name).append(": ").append(value).append("\r\n");
}

bool next_line(std::string_view& lines, std::string_view& name, std::string_view& value) {
  while (!lines.empty()) {
    const size_t eol = lines.find("\r\n");
    const std::string_view line = lines.substr(0, eol);
    lines.remove_prefix(eol == std::string_view::npos ? lines.size() : eol + 2);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    name = line.substr(0, colon);
    value = line.substr(colon + 1);
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
    while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
    if (is_token(name) && is_field_value(value)) return true;
  }
  return false;
}

}  // namespace colony::http
