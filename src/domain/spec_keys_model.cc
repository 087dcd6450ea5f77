// Rows of the table of keys (see spec_keys.h): models and resources.
#include <algorithm>
#include <cmath>

#include "domain/spec_rows.h"

namespace colony::spec {
namespace {

std::string not_empty(std::string_view s) { return s.empty() ? "must not be empty" : ""; }
std::string anything(std::string_view) { return {}; }
std::string graph_level_check(std::string_view s) {
  if (s == "disabled" || s == "basic" || s == "extended" || s == "all") return {};
  return "must be one of disabled, basic, extended, all";
}

// ---- models ----

constexpr int64_t kMaxVersion = 999'999'999;  // of a version given as a number

void read_provider(Reading& r, const Node& n, std::string& out) {
  if (!read_text(r, n, out)) return;
  if (std::string wrong = name_problem(out); !wrong.empty()) r.problem(n, wrong);
}

constexpr Key<ModelSpec> kModelKeys[] = {
    required(text_key<&ModelSpec::name, model_name_problem>("name", "Name under which clients address the model.",
                                                            model_name_schema)),
    required(text_key<&ModelSpec::path, not_empty>(
        "path", "Model file; a relative path counts from the spec file's folder.", some_text)),
    {"version", "Version that clients see.",
     [](Reading& r, const Node& n, ModelSpec& out) {
       std::string text;
       if (n.kind == Kind::kInt || n.kind == Kind::kReal) {  // `version: 3` is what people write
         int64_t number = 0;
         if (!read_int(r, n, 0, kMaxVersion, number)) return;
         text = !n.text.empty() && model_name_problem(n.text).empty() ? n.text : fmt::format("{}", number);
       } else if (!read_text(r, n, text)) {
         return;
       }
       if (std::string wrong = model_name_problem(text); !wrong.empty()) return r.problem(n, std::move(wrong));
       out.version = std::move(text);
     },
     [](const ModelSpec& in) { return doc::string(in.version); },
     [] {
       Node number = typed("integer");
       number.add("minimum", doc::integer(0)).add("maximum", doc::integer(kMaxVersion));
       return std::move(doc::map().add("anyOf", doc::list({model_name_schema(), std::move(number)})));
     }},
    int_key<&ModelSpec::intra_op, 1, 1024>("intra_op", "Threads of one inference."),
    {"providers", "Execution providers by name, tried in this order.",
     [](Reading& r, const Node& n, ModelSpec& out) {
       constexpr size_t kMaxProviders = 16;
       std::vector<std::string> names;
       read_list<std::string>(r, n, kMaxProviders, names, read_provider);
       if (n.kind == Kind::kList && names.empty()) return r.problem(n, "must name at least one provider, such as cpu");
       if (!names.empty()) out.providers = std::move(names);
     },
     [](const ModelSpec& in) {
       Node l = doc::list();
       for (const std::string& p : in.providers) l.items.push_back(doc::string(p));
       return l;
     },
     [] {
       Node s = typed("array");
       s.add("items", name_schema()).add("minItems", doc::integer(1)).add("maxItems", doc::integer(16));
       return s;
     }},
    text_key<&ModelSpec::graph_level, graph_level_check>(
        "graph_level", "Graph optimisation.", [] { return one_of({"disabled", "basic", "extended", "all"}); }),
    bool_key<&ModelSpec::warmup>("warmup", "One request with zeros before the replica is READY."),
    text_key<&ModelSpec::library, anything>("library", "Path of libonnxruntime; empty: found by itself.", any_text),
};

void read_model(Reading& r, const Node& n, ModelSpec& out, const Keys<ModelSpec>& table) {
  if (!read_object(r, n, table, out) || r.source().paths == ModelPaths::kAny) return;
  for (const std::string* p : {&out.path, &out.library})
    if (!p->empty() && !p->starts_with('/'))
      r.problem(n.mark, *p, "is a relative path; the server needs an absolute one");
}

// ---- resources ----

constexpr Key<Resources> kResourceKeys[] = {
    real_key<&Resources::num_cpus, 0.0, 4096.0>("num_cpus", "CPUs that one replica is counted with."),
    {"num_gpus", "GPUs of one replica; below 1 a fraction.",
     [](Reading& r, const Node& n, Resources& out) {
       double v = 0;
       if (!read_real(r, n, 0, 1024, v)) return;
       if (v > 1 && std::trunc(v) != v) return r.problem(n, "must be a whole number when it is above 1");
       out.num_gpus = v;
     },
     [](const Resources& in) { return doc::real(in.num_gpus); },
     [] {
       Node part = typed("number"), whole = typed("integer");
       part.add("minimum", doc::integer(0)).add("maximum", doc::integer(1));
       whole.add("minimum", doc::integer(0)).add("maximum", doc::integer(1024));
       return std::move(doc::map().add("anyOf", doc::list({std::move(part), std::move(whole)})));
     }},
    int_key<&Resources::memory, 0, int64_t{1} << 50>("memory", "Bytes that one replica may use; 0: no limit."),
    {"resources", "Further resources by name, as the nodes declare them.",
     [](Reading& r, const Node& n, Resources& out) {
       constexpr size_t kMaxResources = 32;
       if (n.kind != Kind::kMap) return r.wrong_kind(n, "a mapping from names to numbers");
       if (n.members.size() > kMaxResources)
         return r.problem(n, fmt::format("has {} entries; at most {} are allowed", n.members.size(), kMaxResources));
       for (const doc::Member& m : n.members) {
         Reading::Step step(r, m.key);
         if (std::string wrong = model_name_problem(m.key); !wrong.empty())
           r.problem(m.mark, m.key, "the name " + wrong);
         if (double v = 0; read_real(r, m.value, 0, 1e9, v)) out.resources[m.key] = v;
       }
     },
     [](const Resources& in) {
       Node m = doc::map();
       for (const auto& [name, v] : in.resources) m.add(name, doc::real(v));
       return m;
     },
     [] {
       Node s = typed("object"), v = typed("number");
       v.add("minimum", doc::integer(0)).add("maximum", doc::real(1e9));
       s.add("propertyNames", model_name_schema()).add("additionalProperties", std::move(v));
       s.add("maxProperties", doc::integer(32));
       return s;
     }},
};
constexpr Later kResourceLater[] = {
    {"accelerator_type", "name the resource under `resources`", "null"},
    {"runtime_env", "replicas run in the server's own environment until there is a python runtime", "{}"},
    {"object_store_memory", "it belongs to Ray's object store; leave it out", "null"},
    {"label_selector", "leave it out: placement by label comes with clusters", "{}"},
    {"bundle_label_selector", "leave it out: placement by label comes with clusters", "[]"},
    {"fallback_strategy", "leave it out: placement by label comes with clusters", "[]"},
};

}  // namespace

void read_model(Reading& r, const Node& n, ModelSpec& out) {
  if (n.kind != Kind::kString) return read_model(r, n, out, model_keys());
  Node long_form = doc::map();  // the short form is a path alone
  long_form.mark = n.mark;
  read_model(r, long_form.add("path", n), out, model_keys());
}

void read_named_model(Reading& r, const Node& n, ModelSpec& out) {
  if (n.kind == Kind::kString) return r.problem(n, "expected a mapping with `name` and `path`, got a string");
  read_model(r, n, out, named_model_keys());
}

const Keys<ModelSpec>& named_model_keys() {
  static constexpr Keys<ModelSpec> table{"an entry of models", kModelKeys, {}};
  return table;
}
const Keys<ModelSpec>& model_keys() {
  static constexpr Later no_name[] = {{"name", "`model` answers under the application's name; give it under `models`"}};
  static constexpr Keys<ModelSpec> table{"a model", std::span(kModelKeys).subspan(1), no_name};
  return table;
}
const Keys<Resources>& resource_keys() {
  static constexpr Keys<Resources> table{"ray_actor_options", kResourceKeys, kResourceLater};
  return table;
}

}  // namespace colony::spec
