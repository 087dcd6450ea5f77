// JSON text to the tree and back, through nlohmann's SAX interface. It reports no positions, so the reader's iterator
// counts lines, and a value begins at the first byte after the previous event that is neither space, comma nor colon.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "domain/doc.h"

namespace colony::doc {
namespace {

// Turns a byte offset into a mark; asked for in rising order, so one walk over the text serves all.
class Places {
 public:
  explicit Places(std::string_view text) : text_(text) {}
  Mark next_value(size_t after) {
    size_t i = std::max(after, at_);
    while (i < text_.size() && std::string_view(" \t\r\n,:").contains(text_[i])) ++i;
    return mark(i);
  }
  Mark mark(size_t offset) {
    for (; at_ < std::min(offset, text_.size()); ++at_) {
      if (text_[at_] == '\n') {
        ++line_;
        begin_ = at_ + 1;
      }
    }
    return Mark{line_, static_cast<int>(at_ - begin_) + 1};
  }

 private:
  std::string_view text_;
  size_t at_ = 0, begin_ = 0;
  int line_ = 1;
};

// A forward iterator that tells how far the lexer has read.
struct Counting {
  using difference_type = std::ptrdiff_t;
  using value_type = char;
  using pointer = const char*;
  using reference = const char&;
  using iterator_category = std::input_iterator_tag;
  const char* p = nullptr;
  const char** reached = nullptr;
  reference operator*() const { return *p; }
  Counting& operator++() {
    ++p;
    if (reached != nullptr) *reached = p;
    return *this;
  }
  Counting operator++(int) {
    Counting old = *this;
    ++*this;
    return old;
  }
  bool operator==(const Counting& o) const { return p == o.p; }
};

class Sax : public nlohmann::json_sax<nlohmann::json> {
 public:
  Sax(Builder& builder, std::string_view text) : builder_(builder), text_(text), places_(text), reached_(text.data()) {}
  const char** reached() { return &reached_; }

  bool null() override { return put(doc::null()); }
  bool boolean(bool b) override { return put(doc::boolean(b)); }
  bool number_integer(int64_t i) override { return put(integer(i)); }
  bool number_unsigned(uint64_t u) override {
    return put(u <= static_cast<uint64_t>(INT64_MAX) ? integer(static_cast<int64_t>(u)) : real(static_cast<double>(u)));
  }
  bool number_float(double d, const std::string& text) override {
    Node n = real(d);
    n.text = text;
    return put(std::move(n));
  }
  bool string(std::string& s) override { return put(doc::string(std::move(s))); }
  bool binary(nlohmann::json::binary_t&) override { return false; }
  bool start_object(size_t) override { return open(Kind::kMap); }
  bool start_array(size_t) override { return open(Kind::kList); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(std::string& k) override {
    builder_.key(std::move(k), mark());
    return true;
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception& e) override {
    std::string message = e.what();  // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
    if (size_t colon = message.find(": "); colon != std::string::npos) message = message.substr(colon + 2);
    throw Builder::Stop{Places(text_).mark(position > 0 ? position - 1 : 0), "not JSON: " + message};
  }

 private:
  Mark mark() {
    Mark m = places_.next_value(last_);
    last_ = static_cast<size_t>(reached_ - text_.data());
    return m;
  }
  bool put(Node n) {
    n.mark = mark();
    builder_.value(std::move(n));
    return true;
  }
  bool open(Kind kind) {
    builder_.begin(kind, mark());
    return true;
  }
  bool close() {
    last_ = static_cast<size_t>(reached_ - text_.data());
    builder_.end();
    return true;
  }

  Builder& builder_;
  std::string_view text_;
  Places places_;
  const char* reached_;
  size_t last_ = 0;
};

void write(std::string& out, const Node& n, int indent, int level) {
  auto line = [&](int depth) {
    if (indent < 0) return;
    out += '\n';
    out.append(static_cast<size_t>(depth) * static_cast<size_t>(indent), ' ');
  };
  auto quoted = [&](const std::string& s) {
    out += nlohmann::json(s).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  };
  switch (n.kind) {
    case Kind::kNull: out += "null"; break;
    case Kind::kBool: out += n.flag ? "true" : "false"; break;
    case Kind::kInt: out += fmt::format("{}", n.integer); break;
    case Kind::kReal:
      // The shortest text that reads back the same; JSON has no infinity.
      out += std::isfinite(n.real) ? nlohmann::json(n.real).dump() : "null";
      break;
    case Kind::kString: quoted(n.text); break;
    case Kind::kList: {
      out += '[';
      bool first = true;
      for (const Node& item : n.items) {
        if (!std::exchange(first, false)) out += ',';
        line(level + 1);
        write(out, item, indent, level + 1);
      }
      if (!n.items.empty()) line(level);
      out += ']';
      break;
    }
    case Kind::kMap: {
      out += '{';
      bool first = true;
      for (const Member& m : n.members) {
        if (!std::exchange(first, false)) out += ',';
        line(level + 1);
        quoted(m.key);
        out += indent < 0 ? ":" : ": ";
        write(out, m.value, indent, level + 1);
      }
      if (!n.members.empty()) line(level);
      out += '}';
      break;
    }
  }
}

}  // namespace

Checked<Node> parse_json(const SpecSource& source) {
  auto problem = [&](Mark mark, std::string message) {
    return std::unexpected(Problems{{std::string(source.file), mark.line, mark.column, {}, {}, std::move(message)}});
  };
  Builder builder(source);
  try {
    Sax sax(builder, source.text);
    const char* begin = source.text.data();
    nlohmann::json::sax_parse(Counting{begin, sax.reached()}, Counting{begin + source.text.size(), nullptr}, &sax);
  } catch (const Builder::Stop& stop) {
    return problem(stop.mark, stop.message);
  } catch (const std::exception& e) {
    return problem({}, std::string("not JSON: ") + e.what());
  }
  return std::move(builder).finish();
}

std::string json_text(const Node& node, int indent) {
  std::string out;
  write(out, node, indent, 0);
  return out;
}

}  // namespace colony::doc
