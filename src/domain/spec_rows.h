// Builders of rows for the table of keys: one line per plain key, from the member that it fills and its bounds.
// Included by the files that hold rows (spec_keys_*.cc) and by nothing else.
#pragma once

#include <fmt/format.h>

#include "domain/spec_keys.h"

namespace colony::spec {

template <class T, class V>
T owner_of(V T::*);
template <auto M>
using Owner = decltype(owner_of(M));

inline Node typed(std::string_view type) { return std::move(doc::map().add("type", doc::string(std::string(type)))); }

template <auto M, int64_t Low, int64_t High>
constexpr Key<Owner<M>> int_key(std::string_view name, std::string_view about) {
  using T = Owner<M>;
  return {name, about,
          [](Reading& r, const Node& n, T& out) {
            if (int64_t v = 0; read_int(r, n, Low, High, v)) out.*M = static_cast<std::decay_t<decltype(out.*M)>>(v);
          },
          [](const T& in) { return doc::integer(static_cast<int64_t>(in.*M)); },
          [] {
            Node s = typed("integer");
            s.add("minimum", doc::integer(Low)).add("maximum", doc::integer(High));
            return s;
          }};
}

template <auto M, double Low, double High>
constexpr Key<Owner<M>> real_key(std::string_view name, std::string_view about) {
  using T = Owner<M>;
  return {name, about, [](Reading& r, const Node& n, T& out) { read_real(r, n, Low, High, out.*M); },
          [](const T& in) { return doc::real(in.*M); },
          [] {
            Node s = typed("number");
            s.add("minimum", doc::real(Low)).add("maximum", doc::real(High));
            return s;
          }};
}

template <auto M>
constexpr Key<Owner<M>> bool_key(std::string_view name, std::string_view about) {
  using T = Owner<M>;
  return {name, about, [](Reading& r, const Node& n, T& out) { read_bool(r, n, out.*M); },
          [](const T& in) { return doc::boolean(in.*M); }, [] { return typed("boolean"); }};
}

// `Check` returns "" or what is wrong with the text.
using TextCheck = std::string (*)(std::string_view);
template <auto M, TextCheck Check>
constexpr Key<Owner<M>> text_key(std::string_view name, std::string_view about, Node (*schema)()) {
  using T = Owner<M>;
  return {name, about,
          [](Reading& r, const Node& n, T& out) {
            std::string text;
            if (!read_text(r, n, text)) return;
            if (std::string wrong = Check(text); !wrong.empty()) return r.problem(n, std::move(wrong));
            out.*M = std::move(text);
          },
          [](const T& in) { return doc::string(in.*M); }, schema};
}

template <class T>
constexpr Key<T> required(Key<T> key) {
  key.required = true;
  return key;
}

inline Node name_schema() {
  Node s = typed("string");
  s.add("pattern", doc::string("^[a-z0-9][-a-z0-9_.]{0,62}$"));
  return s;
}
inline Node model_name_schema() {
  Node s = typed("string");
  s.add("pattern", doc::string("^[A-Za-z0-9][-A-Za-z0-9_.]{0,127}$"));
  return s;
}
inline Node any_text() {
  Node s = typed("string");
  s.add("maxLength", doc::integer(kMaxText)).add("pattern", doc::string("^[^\\x00]*$"));
  return s;
}
inline Node some_text() { return std::move(any_text().add("minLength", doc::integer(1))); }
inline Node one_of(std::initializer_list<std::string_view> words) {
  Node values = doc::list();
  for (std::string_view w : words) values.items.push_back(doc::string(std::string(w)));
  return std::move(typed("string").add("enum", std::move(values)));
}

template <class T>
void read_list(Reading& r, const Node& n, size_t most, std::vector<T>& out, void (*read)(Reading&, const Node&, T&)) {
  if (n.kind != Kind::kList) return r.wrong_kind(n, "a list");
  if (n.items.size() > most)
    return r.problem(n, fmt::format("has {} entries; at most {} are allowed", n.items.size(), most));
  for (size_t i = 0; i < n.items.size(); ++i) {
    Reading::Step step(r, i);
    read(r, n.items[i], out.emplace_back());
  }
}

template <class T>
constexpr Key<T> computed(Key<T> key) {
  key.computed_default = true;
  return key;
}

// ---- the schema of a mapping ----

template <class T>
Node object_schema(const Keys<T>& table) {
  Node properties = doc::map(), needed = doc::list();
  const T defaults{};
  for (const Key<T>& k : table.keys) {
    Node s = k.schema();
    s.add("description", doc::string(std::string(k.about)));
    if (k.required)
      needed.items.push_back(doc::string(std::string(k.name)));
    else if (!k.computed_default)
      s.add("default", k.write(defaults));
    properties.add(std::string(k.name), std::move(s));
  }
  Node out = typed("object");
  out.add("properties", std::move(properties));
  if (!needed.items.empty()) out.add("required", std::move(needed));
  out.add("additionalProperties", doc::boolean(false));
  return out;
}

}  // namespace colony::spec
