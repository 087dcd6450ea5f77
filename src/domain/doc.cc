// The tree itself: building, bounds, what a plain scalar means. Text in and out: doc_yaml.cc, doc_json.cc.
#include "domain/doc.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>

namespace colony::doc {

const Node* Node::find(std::string_view key) const {
  for (const Member& m : members)
    if (m.key == key) return &m.value;
  return nullptr;
}

Node& Node::add(std::string key, Node value) {
  members.push_back(Member{std::move(key), {}, std::move(value)});
  return *this;
}

namespace {
Node of(Kind kind) {
  Node n;
  n.kind = kind;
  return n;
}
}  // namespace

Node null() { return of(Kind::kNull); }
Node boolean(bool b) {
  Node n = of(Kind::kBool);
  n.flag = b;
  return n;
}
Node integer(int64_t i) {
  Node n = of(Kind::kInt);
  n.integer = i;
  n.real = static_cast<double>(i);
  return n;
}
Node real(double d) {
  Node n = of(Kind::kReal);
  n.real = d;
  return n;
}
Node string(std::string s) {
  Node n = of(Kind::kString);
  n.text = std::move(s);
  return n;
}
Node list(std::vector<Node> items) {
  Node n = of(Kind::kList);
  n.items = std::move(items);
  return n;
}
Node map() { return of(Kind::kMap); }

namespace {

bool read_integer(std::string_view s, int64_t& out) {
  const bool negative = s.starts_with('-');
  if (negative || s.starts_with('+')) s.remove_prefix(1);
  int base = 10;
  if (s.starts_with("0x")) base = 16;
  if (s.starts_with("0o")) base = 8;
  if (base != 10) s.remove_prefix(2);
  uint64_t magnitude = 0;
  auto [end, ec] = std::from_chars(s.data(), s.data() + s.size(), magnitude, base);
  if (s.empty() || ec != std::errc{} || end != s.data() + s.size()) return false;
  const auto limit = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (magnitude > limit) return false;
  out = negative ? -static_cast<int64_t>(magnitude) : static_cast<int64_t>(magnitude);
  return true;
}

bool read_real(std::string_view s, double& out) {
  bool negative = s.starts_with('-');
  if (negative || s.starts_with('+')) s.remove_prefix(1);
  if (s == ".inf" || s == ".Inf" || s == ".INF") {
    out = negative ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
    return true;
  }
  if (s == ".nan" || s == ".NaN" || s == ".NAN") {
    out = std::numeric_limits<double>::quiet_NaN();
    return true;
  }
  if (s.empty() || !((s[0] >= '0' && s[0] <= '9') || (s[0] == '.' && s.size() > 1))) return false;
  double magnitude = 0;
  auto [end, ec] = std::from_chars(s.data(), s.data() + s.size(), magnitude);
  if (end != s.data() + s.size() || (ec != std::errc{} && ec != std::errc::result_out_of_range)) return false;
  if (ec == std::errc::result_out_of_range) magnitude = std::numeric_limits<double>::infinity();
  out = negative ? -magnitude : magnitude;
  return true;
}

}  // namespace

Node plain_scalar(const std::string& text, Mark mark) {
  Node n;
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") {
    n.kind = Kind::kNull;
  } else if (text == "true" || text == "True" || text == "TRUE") {
    n = boolean(true);
  } else if (text == "false" || text == "False" || text == "FALSE") {
    n = boolean(false);
  } else if (int64_t i = 0; read_integer(text, i)) {
    n = integer(i);
  } else if (double d = 0; read_real(text, d)) {
    n = real(d);
  } else {
    n.kind = Kind::kString;
  }
  n.text = text;
  n.mark = mark;
  return n;
}

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::kNull: return "null";
    case Kind::kBool: return "a boolean";
    case Kind::kInt: return "an integer";
    case Kind::kReal: return "a number";
    case Kind::kString: return "a string";
    case Kind::kList: return "a list";
    case Kind::kMap: return "a mapping";
  }
  return "";
}

std::string shown(const Node& node) {
  constexpr size_t kShown = 40;
  if (node.kind == Kind::kList || node.kind == Kind::kMap || node.kind == Kind::kNull) return {};
  std::string s = node.kind == Kind::kString || !node.text.empty() ? node.text : json_text(node);
  bool cut = false;
  if (s.size() > kShown) {
    size_t end = kShown;
    while (end > 0 && (static_cast<unsigned char>(s[end]) & 0xC0) == 0x80) --end;  // not within a UTF-8 character
    s.resize(end);
    cut = true;
  }
  for (char& c : s)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  if (cut) s += "...";
  return s;
}

size_t count_values(const Node& node) {
  size_t n = 1;
  for (const Node& item : node.items) n += count_values(item);
  for (const Member& m : node.members) n += count_values(m.value);
  return n;
}

void Builder::spend(size_t values, Mark mark) {
  values_ += values;
  if (values_ > kMaxValues)
    throw Stop{mark, fmt::format("the document holds more than {} values (an alias counts as often as it is used)",
                                 kMaxValues)};
}

void Builder::value(Node node) {
  spend(1, node.mark);
  if (open_.empty()) {
    root_ = std::move(node);
    has_root_ = true;
    return;
  }
  Open& top = open_.back();
  if (top.node.kind == Kind::kList) {
    top.node.items.push_back(std::move(node));
    return;
  }
  top.has_key = false;
  top.node.members.push_back(Member{std::move(top.key), top.key_mark, std::move(node)});
}

void Builder::begin(Kind kind, Mark mark) {
  if (open_.size() >= kMaxDepth) throw Stop{mark, fmt::format("nested deeper than {} levels", kMaxDepth)};
  Open o;
  o.node.kind = kind;
  o.node.mark = mark;
  open_.push_back(std::move(o));
}

Node& Builder::end() {
  Node whole = std::move(open_.back().node);
  open_.pop_back();
  value(std::move(whole));
  if (open_.empty()) return root_;
  Node& parent = open_.back().node;
  return parent.kind == Kind::kList ? parent.items.back() : parent.members.back().value;
}

void Builder::key(std::string key, Mark mark) {
  Open& top = open_.back();
  auto [first, fresh] = top.lines.emplace(key, mark.line);
  if (!fresh && key != "<<" && problems_.size() < kMaxProblems) {
    std::string where = path();
    where += where.empty() ? key : "." + key;
    problems_.push_back(Problem{std::string(source_.file),
                                mark.line,
                                mark.column,
                                std::move(where),
                                {},
                                fmt::format("is given twice (first in line {})", first->second)});
  }
  top.key = std::move(key);
  top.key_mark = mark;
  top.has_key = true;
}

std::string Builder::path() const {
  std::string out;
  for (size_t i = 0; i + 1 < open_.size(); ++i) {
    const Open& o = open_[i];
    if (o.node.kind == Kind::kList)
      out += fmt::format("[{}]", o.node.items.size());
    else
      out += (out.empty() ? "" : ".") + o.key;
  }
  return out;
}

Checked<Node> Builder::finish() && {
  if (!problems_.empty()) return std::unexpected(std::move(problems_));
  return std::move(root_);
}

Checked<Node> parse(const SpecSource& source) {
  if (source.text.size() > kMaxSpecBytes)
    return std::unexpected(
        Problems{{std::string(source.file),
                  0,
                  0,
                  {},
                  {},
                  fmt::format("the document has {} bytes; at most {} are read", source.text.size(), kMaxSpecBytes)}});
  return source.format == SpecFormat::kJson ? parse_json(source) : parse_yaml(source);
}

}  // namespace colony::doc
