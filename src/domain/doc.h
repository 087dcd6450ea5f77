// A parsed YAML or JSON document as one plain tree that knows where each value stood. The one form between text and the
// specs: readers work on it, writers make it, so that yaml-cpp and nlohmann stay in doc_yaml.cc and doc_json.cc.
// Bounded: depth, number of values (aliases counted as often as they are used), bytes. Private to domain/.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "domain/spec_parse.h"

namespace colony::doc {

inline constexpr size_t kMaxDepth = 64;        // LIMIT
inline constexpr size_t kMaxValues = 200'000;  // LIMIT: bounds alias bombs too
inline constexpr size_t kMaxProblems = 100;    // LIMIT: further ones are counted only

struct Mark {
  int line = 0, column = 0;
};

enum class Kind : uint8_t { kNull, kBool, kInt, kReal, kString, kList, kMap };

struct Member;

struct Node {
  Kind kind = Kind::kNull;
  bool flag = false;  // kBool
  Mark mark;
  int64_t integer = 0;  // kInt
  double real = 0;      // kReal; of kInt too
  std::string text;     // kString; of other scalars as written, so that `version: 1` can be read as text
  std::vector<Node> items;
  std::vector<Member> members;

  const Node* find(std::string_view key) const;
  // Building (writers): appends and returns this.
  Node& add(std::string key, Node value);
};

struct Member {
  std::string key;
  Mark mark;
  Node value;
};

Node null();
Node boolean(bool b);
Node integer(int64_t i);
Node real(double d);
Node string(std::string s);
Node list(std::vector<Node> items = {});
Node map();

// What an unquoted YAML scalar means (core schema of YAML 1.2): null, true/false, integers, floats, else a string.
Node plain_scalar(const std::string& text, Mark mark);
std::string_view kind_name(Kind kind);  // "a string", "a list", ...
std::string shown(const Node& node);    // for messages: at most ~40 bytes, "" for null, a list or a map

Checked<Node> parse(const SpecSource& source);
Checked<Node> parse_yaml(const SpecSource& source);
Checked<Node> parse_json(const SpecSource& source);

std::string json_text(const Node& node, int indent = -1);  // -1: one line
std::string yaml_text(const Node& node);

// Builds the tree from events, for both parsers; throws Stop at the first thing that ends the reading.
class Builder {
 public:
  struct Stop {
    Mark mark;
    std::string message;
  };
  explicit Builder(const SpecSource& source) : source_(source) {}
  void value(Node node);
  void begin(Kind kind, Mark mark);
  Node& end();  // the node that is whole now; valid until the next event
  void key(std::string key, Mark mark);
  bool wants_key() const { return !open_.empty() && open_.back().node.kind == Kind::kMap && !open_.back().has_key; }
  void spend(size_t values, Mark mark);  // counts against kMaxValues
  bool empty() const { return !has_root_; }
  Checked<Node> finish() &&;

 private:
  struct Open {
    Node node;
    std::string key;
    Mark key_mark;
    bool has_key = false;
    std::unordered_map<std::string, int> lines;  // of the keys so far
  };
  std::string path() const;
  const SpecSource& source_;
  std::vector<Open> open_;
  Node root_;
  bool has_root_ = false;
  size_t values_ = 0;
  Problems problems_;  // keys given twice
};

size_t count_values(const Node& node);

}  // namespace colony::doc
