// The one table of keys: how each is read, written, bounded and described. A row is made by the builders below from the
// member that it fills; reader (spec_read.cc), writer (spec_write.cc) and JSON Schema (spec_schema.cc) walk the same
// rows. Keys that Ray Serve or our conventions have and that do nothing here yet stand in a second list, with what to
// do instead. Private to domain/.
#pragma once

#include <set>
#include <span>
#include <string>
#include <string_view>

#include "domain/app_spec.h"
#include "domain/doc.h"

namespace colony::spec {

using doc::Kind;
using doc::Mark;
using doc::Node;

inline constexpr int64_t kMaxReplicas = 10'000;  // LIMIT: per deployment

inline constexpr int64_t kMaxText = 1024;  // LIMIT: characters of any text but user_config's

enum class Dialect : uint8_t { kColony, kRay };

// Collects problems while a tree is read; knows the path of the key that is being read.
class Reading {
 public:
  Reading(const SpecSource& source, Dialect dialect) : source_(source), dialect_(dialect) {}

  void problem(Mark mark, std::string value, std::string message);
  void conflict(Mark mark, std::string value, std::string message);
  void problem(const Node& n, std::string message) { problem(n.mark, doc::shown(n), std::move(message)); }
  // "expected a string, got a list"
  void wrong_kind(const Node& n, std::string_view expected);

  class Step {  // one more element of the path, while it lives
   public:
    Step(Reading& r, std::string_view key);
    Step(Reading& r, size_t index);
    ~Step() { r_.path_.resize(length_); }
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;

   private:
    Reading& r_;
    size_t length_;
  };

  const SpecSource& source() const { return source_; }
  Dialect dialect() const { return dialect_; }
  bool clean() const { return problems_.empty(); }
  Problems take();

 private:
  const SpecSource& source_;
  Dialect dialect_;
  std::string path_;
  Problems problems_;
  size_t left_out_ = 0;
  bool left_out_other_ = false;  // not all of these were conflicts
};

template <class T>
struct Key {
  std::string_view name;
  std::string_view about;
  void (*read)(Reading&, const Node&, T&);
  Node (*write)(const T&);
  Node (*schema)();  // without description and default: those come from `about` and from T{}
  bool required = false;
  bool computed_default = false;  // the default depends on other keys: `about` says how
};

struct Later {
  std::string_view name;
  std::string_view instead;           // "give num_replicas as a number"
  std::string_view ray_default = {};  // JSON; a Ray body may hold it
};

template <class T>
struct Keys {
  std::string_view what;  // "an application"
  std::span<const Key<T>> keys;
  std::span<const Later> later;
};

const Keys<AppSpec>& app_keys();
const Keys<DeploymentSpec>& deployment_keys();
const Keys<ModelSpec>& model_keys();        // of `model:`
const Keys<ModelSpec>& named_model_keys();  // of `models:`, which have a `name` too
const Keys<Resources>& resource_keys();
const Keys<BackendSpec>& backend_keys();
std::span<const Later> document_later_keys();  // beside `applications`

// ---- scalars, used by the builders ----
bool read_text(Reading& r, const Node& n, std::string& out);
bool read_bool(Reading& r, const Node& n, bool& out);
bool read_int(Reading& r, const Node& n, int64_t low, int64_t high, int64_t& out);
bool read_real(Reading& r, const Node& n, double low, double high, double& out);

// "" or what is wrong. A replica is named APP.DEPLOYMENT.x1y2z3 in at most 120 bytes: hence the two bounds.
std::string name_problem(std::string_view name);             // of applications; at most 63 characters
std::string deployment_name_problem(std::string_view name);  // at most 48
std::string model_name_problem(std::string_view name);
std::string route_prefix_problem(std::string_view prefix);
std::string host_problem(std::string_view host);  // of `hosts`: a DNS name or numeric address without a port
std::string grpc_service_problem(std::string_view service);
std::string address_problem(std::string_view address);  // of a backend

// The candidate nearest to `word` by edit distance, or "" when none is near.
std::string nearest(std::string_view word, std::span<const std::string_view> candidates);

// ---- reading a mapping by its table ----
// What is not in the table: refused, with the reason and the way out.
void refuse_key(Reading& r, const doc::Member& m, std::string_view what, std::span<const std::string_view> names,
                std::span<const Later> later);

template <class T>
bool read_object(Reading& r, const Node& n, const Keys<T>& table, T& out) {
  if (n.kind != Kind::kMap) {
    r.wrong_kind(n, "a mapping");
    return false;
  }
  for (const doc::Member& m : n.members) {
    const Key<T>* row = nullptr;
    for (const Key<T>& k : table.keys)
      if (k.name == m.key) row = &k;
    Reading::Step step(r, m.key);
    if (row != nullptr) {
      // In Ray's documents null stands for "the default"; in ours it is a mistake, except for the routes.
      if (r.dialect() == Dialect::kRay && m.value.kind == Kind::kNull && m.key != "route_prefix" && !row->required)
        continue;
      row->read(r, m.value, out);
      continue;
    }
    std::vector<std::string_view> names;
    for (const Key<T>& k : table.keys) names.push_back(k.name);
    refuse_key(r, m, table.what, names, table.later);
  }
  for (const Key<T>& k : table.keys)
    if (k.required && n.find(k.name) == nullptr) {
      Reading::Step step(r, k.name);
      r.problem(n.mark, {}, "is missing; " + std::string(table.what) + " needs it");
    }
  return true;
}

template <class T>
Node write_object(const Keys<T>& table, const T& value) {
  Node out = doc::map();
  for (const Key<T>& k : table.keys) out.add(std::string(k.name), k.write(value));
  return out;
}

// One deployment or application with the checks that look at several keys.
void read_model(Reading& r, const Node& n, ModelSpec& out);  // of `model:`, which may be a path alone
void read_named_model(Reading& r, const Node& n, ModelSpec& out);
void read_deployment(Reading& r, const Node& n, DeploymentSpec& out);
void read_app(Reading& r, const Node& n, AppSpec& out);
std::vector<AppSpec> read_apps(Reading& r, const Node& list);

Node write(const DeploymentSpec& d);
Node write(const AppSpec& a);
Node document_schema();

}  // namespace colony::spec
