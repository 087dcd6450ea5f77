// See h2_head.h.
#include "transport/http/h2_head.h"

#include "transport/http/head.h"

namespace colony::http {

void H2HeadBuilder::reset() {
  for (std::string* s : {&method_, &path_, &authority_, &cookie_, &text_}) {
    if (s->capacity() > 2048) {
      *s = std::string();
    } else {
      s->clear();
    }
  }
  list_bytes_ = 0;
  started_ = has_length_ = has_host_ = false;
  problem_ = {};
}

void H2HeadBuilder::start() {
  started_ = true;
  text_.reserve(method_.size() + path_.size() + authority_.size() + 256);
  text_.append(method_).append(1, ' ').append(path_).append(" HTTP/1.1\r\n");
  if (!authority_.empty()) {
    text_.append("host: ").append(authority_).append("\r\n");
    has_host_ = true;
  }
}

void H2HeadBuilder::add(std::string_view name, std::string_view value) {
  list_bytes_ += name.size() + value.size() + 32;
  if (too_large()) return;
  if (name.starts_with(':')) {
    if (name == ":method") method_.assign(value);
    if (name == ":path") path_.assign(value);
    if (name == ":authority") authority_.assign(value);
    return;
  }
  if (!started_) start();
  if (name == "host") {
    if (has_host_) {
      if (value != authority_) problem_ = "host differs from :authority";
      return;
    }
    has_host_ = true;
    authority_.assign(value);
  } else if (name == "cookie") {  // may come in crumbs (RFC 9113, 8.2.3); HTTP/1.1 knows one line
    if (!cookie_.empty()) cookie_.append("; ");
    cookie_.append(value);
    return;
  } else if (name == "content-length") {
    has_length_ = true;
  }
  text_.append(name).append(": ").append(value).append("\r\n");
}

std::string_view H2HeadBuilder::finish(bool more) {
  if (!started_) start();
  if (!cookie_.empty()) text_.append("cookie: ").append(cookie_).append("\r\n");
  if (more && !has_length_) text_.append("transfer-encoding: chunked\r\n");
  text_.append("\r\n");
  return text_;
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
