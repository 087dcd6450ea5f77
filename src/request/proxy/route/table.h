// Where a request goes: an immutable table made from the app records that discovery pushed. Every loop of a proxy reads
// the same table through a shared pointer that is swapped whole. Pure: no I/O, no clock.
// Not here: which replica (links/, policy/balance.h) and when (admit/).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "domain/table.h"

namespace colony::proxy {

struct RouteEntry {
  std::string app;
  std::string key;  // "app/deployment"
  DeploymentRecord record;
};

enum class Target : uint8_t {
  kDeployment,  // RouteTable::entries()[deployment]
  kBuiltin,     // the proxy answers by itself
  kPeekModel,   // gRPC inference: the model's name is in the first message
  kNotFound,
};

struct Resolved {
  Target target = Target::kNotFound;
  uint32_t deployment = 0;
  bool inference = false;   // matched by a model's name: may be sent twice
  std::string_view reason;  // of kNotFound: "unknown_model", "unknown_route" or "unknown_service"
};

class RouteTable {
 public:
  // Who held a name or prefix in `previous` keeps it while it still claims it; else the first app in order of name does.
  static std::shared_ptr<const RouteTable> build(const std::map<std::string, AppRecord>& apps,
                                                 const RouteTable* previous = nullptr);

  // `path` as it came, without the query; `authority`: Host or :authority, with or without a port.
  Resolved resolve(std::string_view path, bool grpc, std::string_view authority = {}) const;
  // kDeployment or kNotFound.
  Resolved resolve_model(std::string_view model) const;

  const std::vector<RouteEntry>& entries() const { return entries_; }
  std::vector<std::string> models() const;                                // sorted
  std::string_view model_version(std::string_view model) const;           // "1" where none was told
  std::vector<std::pair<std::string, std::string>> prefixes() const;      // prefix and app, sorted
  const std::vector<std::string>& warnings() const { return warnings_; }  // names claimed twice
  // "models: a, b; routes: /a, /b and 7 more": for the person who asked for something else.
  std::string what_exists(size_t at_most = 20) const;
  const std::string* owner_of_prefix(std::string_view prefix) const;  // key of the entry, null if free
  const std::string* owner_of_model(std::string_view model) const;
  const std::string* owner_of_service(std::string_view service) const;
  const std::string* owner_of_host(std::string_view host) const;
  std::vector<std::string> services() const;  // of the users' own, sorted

 private:
  // WHY not std::hash: each would be a call into another library. What is hashed into the table is the operator's.
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view name) const {
      uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
      for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
      return hash;
    }
  };
  using Index = std::unordered_map<std::string, uint32_t, Hash, std::equal_to<>>;
  const std::string* owner(const Index& index, std::string_view name) const;
  Resolved by_path(std::string_view path, bool grpc) const;
  Resolved by_prefix(std::string_view path) const;
  Resolved by_service(std::string_view path) const;
  const uint32_t* by_host(std::string_view authority) const;
  void claim(Index& index, std::string_view what, const std::string& name, uint32_t entry,
             const std::string* former_owner);

  std::vector<RouteEntry> entries_;
  Index prefixes_, models_, services_, hosts_;
  size_t longest_prefix_ = 0;
  std::vector<std::string> warnings_;
};

// "/foo/" is "/foo"; "/" stays.
std::string_view normal_prefix(std::string_view prefix);

}  // namespace colony::proxy
