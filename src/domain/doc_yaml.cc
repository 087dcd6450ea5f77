// YAML text to the tree and back, through yaml-cpp's event interface (its own Node expands aliases without a bound).
// `<<: *base` merges as in YAML 1.1, because people write it. Scalars mean what YAML 1.2 says: `yes` is a string.
#include <yaml-cpp/emitter.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "base/utf8.h"
#include "domain/doc.h"

namespace colony::doc {
namespace {

Mark at(const YAML::Mark& m) { return m.line < 0 ? Mark{} : Mark{m.line + 1, m.column + 1}; }

class Handler : public YAML::EventHandler {
 public:
  explicit Handler(Builder& builder) : builder_(builder) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { scalar(plain_scalar("", at(mark)), anchor); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    if (tag == "?") return scalar(plain_scalar(value, at(mark)), anchor);
    check_tag(tag, at(mark));
    Node n = string(value);
    n.mark = at(mark);
    scalar(std::move(n), anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    auto it = anchors_.find(anchor);
    if (it == anchors_.end()) throw Builder::Stop{at(mark), "an alias stands inside the value that it names"};
    if (builder_.wants_key()) return key(it->second.node, at(mark));
    builder_.spend(it->second.values, at(mark));
    Node copy = it->second.node;
    copy.mark = at(mark);
    builder_.value(std::move(copy));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    begin(Kind::kList, at(mark), tag, anchor);
  }
  void OnSequenceEnd() override { end(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    begin(Kind::kMap, at(mark), tag, anchor);
  }
  void OnMapEnd() override { end(); }

 private:
  struct Anchored {
    Node node;
    size_t values = 1;
  };

  static void check_tag(const std::string& tag, Mark mark) {
    if (tag.empty() || tag == "?" || tag == "!" || tag == "tag:yaml.org,2002:str" || tag == "tag:yaml.org,2002:map" ||
        tag == "tag:yaml.org,2002:seq")
      return;
    throw Builder::Stop{mark, "the tag " + tag + " is not understood; write the value without it"};
  }
  void begin(Kind kind, Mark mark, const std::string& tag, YAML::anchor_t anchor) {
    check_tag(tag, mark);
    if (builder_.wants_key()) throw Builder::Stop{mark, "a key must be a plain word, not a list or mapping"};
    builder_.begin(kind, mark);
    open_anchors_.push_back(anchor);
  }
  void end() {
    Node& whole = builder_.end();
    if (whole.kind == Kind::kMap) merge(whole);
    keep(whole, open_anchors_.back());
    open_anchors_.pop_back();
  }
  void scalar(Node node, YAML::anchor_t anchor) {
    keep(node, anchor);
    if (builder_.wants_key()) return key(node, node.mark);
    builder_.value(std::move(node));
  }
  void key(const Node& node, Mark mark) {
    if (node.kind == Kind::kList || node.kind == Kind::kMap)
      throw Builder::Stop{mark, "a key must be a plain word, not a list or mapping"};
    builder_.key(node.text, mark);
  }
  void keep(const Node& node, YAML::anchor_t anchor) {
    if (anchor == 0) return;
    const size_t values = count_values(node);
    builder_.spend(values, node.mark);
    anchors_[anchor] = Anchored{node, values};
  }
  // Keys of the merged mappings that the mapping does not have itself; earlier ones win.
  void merge(Node& into) {
    std::vector<Node> sources;
    for (auto it = into.members.begin(); it != into.members.end();) {
      if (it->key != "<<") {
        ++it;
        continue;
      }
      if (it->value.kind == Kind::kList)
        for (Node& item : it->value.items) sources.push_back(std::move(item));
      else
        sources.push_back(std::move(it->value));
      it = into.members.erase(it);
    }
    if (sources.empty()) return;
    std::set<std::string, std::less<>> known;
    for (const Member& m : into.members) known.insert(m.key);
    for (Node& source : sources) {
      if (source.kind != Kind::kMap) throw Builder::Stop{source.mark, "`<<` merges mappings only"};
      for (Member& m : source.members)
        if (known.insert(m.key).second) into.members.push_back(std::move(m));
    }
  }

  Builder& builder_;
  std::map<YAML::anchor_t, Anchored> anchors_;
  std::vector<YAML::anchor_t> open_anchors_;
};

void emit(YAML::Emitter& out, const Node& n) {
  switch (n.kind) {
    case Kind::kNull: out << YAML::Null; break;
    case Kind::kBool: out << (n.flag ? "true" : "false"); break;
    case Kind::kInt:
    case Kind::kReal: out << json_text(n); break;
    case Kind::kString:
      // A text that would come back as something else is quoted; yaml-cpp quotes what YAML's syntax demands, but for a
      // carriage return, which it writes as it is and reads as the end of a line.
      if (n.text.contains('\r') || plain_scalar(n.text, {}).kind != Kind::kString) out << YAML::DoubleQuoted;
      out << n.text;
      break;
    case Kind::kList:
      if (n.items.empty()) out << YAML::Flow;
      out << YAML::BeginSeq;
      for (const Node& item : n.items) emit(out, item);
      out << YAML::EndSeq;
      break;
    case Kind::kMap:
      if (n.members.empty()) out << YAML::Flow;
      out << YAML::BeginMap;
      for (const Member& m : n.members) {
        out << YAML::Key;
        emit(out, string(m.key));
        out << YAML::Value;
        emit(out, m.value);
      }
      out << YAML::EndMap;
      break;
  }
}

}  // namespace

Checked<Node> parse_yaml(const SpecSource& source) {
  auto problem = [&](Mark mark, std::string message) {
    return std::unexpected(Problems{{std::string(source.file), mark.line, mark.column, {}, {}, std::move(message)}});
  };
  // yaml-cpp passes on what it cannot decode, and JSON, which such a text becomes, could not hold it.
  int line = 1;
  for (std::string_view rest = source.text; !rest.empty(); ++line) {
    const std::string_view one = rest.substr(0, rest.find('\n'));
    if (!is_utf8(one)) return problem({line, 1}, "this line is not UTF-8; save the file as UTF-8");
    rest.remove_prefix(std::min(rest.size(), one.size() + 1));
  }
  Builder builder(source);
  try {
    std::istringstream in{std::string(source.text)};
    YAML::Parser parser(in);
    Handler handler(builder);
    parser.HandleNextDocument(handler);
    if (builder.empty()) return problem({1, 1}, "the document is empty");
    struct More : YAML::EventHandler {
      Mark mark;
      void OnDocumentStart(const YAML::Mark& m) override {
        throw Builder::Stop{at(m), "a second document begins here; write one"};
      }
      void OnDocumentEnd() override {}
      void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
      void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
      void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
      void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
      void OnSequenceEnd() override {}
      void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
      void OnMapEnd() override {}
    } more;
    parser.HandleNextDocument(more);
  } catch (const Builder::Stop& stop) {
    return problem(stop.mark, stop.message);
  } catch (const YAML::Exception& e) {
    return problem(at(e.mark), "not YAML: " + e.msg);
  } catch (const std::exception& e) {
    return problem({}, std::string("not YAML: ") + e.what());
  }
  return std::move(builder).finish();
}

std::string yaml_text(const Node& node) {
  YAML::Emitter out;
  out.SetNullFormat(YAML::LowerNull);
  emit(out, node);
  return std::string(out.c_str()) + "\n";
}

}  // namespace colony::doc
