// Text to specs and back. YAML or JSON in, AppSpecs out, or every problem at once with file, line, column, key path,
// value and what would be right. The keys, their bounds and their descriptions are one table (spec_keys.cc), which the
// reader, the writer and the JSON Schema share. Conflicts between applications that are not in one document are the
// keeper's.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "domain/app_spec.h"

namespace colony {

inline constexpr size_t kMaxSpecBytes = 1 << 20;                         // LIMIT: one document
inline constexpr size_t kMaxApps = 1000;                                 // LIMIT: per document and per keeper
inline constexpr size_t kMaxDeployments = 100;                           // LIMIT: per application
inline constexpr std::string_view kBuiltinEcho = "colony.builtin:echo";  // the one import_path there is

struct Problem {
  std::string file;          // as given in SpecSource; empty: the text came from a request
  int line = 0, column = 0;  // 1-based; 0: not known
  std::string key_path;      // "applications[0].deployments[0].num_replica"
  std::string value;         // as written, shortened; empty when it says nothing
  std::string message;       // "unknown key; did you mean num_replicas?"
  bool conflict = false;     // each value is fine, but two of them may not be the same
  std::string text() const;  // "app.yaml:12:5: applications[0]...: unknown key; did you mean num_replicas?"
};
using Problems = std::vector<Problem>;
template <class T>
using Checked = std::expected<T, Problems>;

// kInvalidArgument, reason "invalid_spec" (kAlreadyExists when all are conflicts); the message is one line per problem.
Error to_error(const Problems& problems);

enum class SpecFormat : uint8_t { kYaml, kJson };
enum class ModelPaths : uint8_t { kAny, kAbsolute };  // kAbsolute: a relative model path is refused

struct SpecSource {
  std::string_view text;
  SpecFormat format = SpecFormat::kYaml;
  std::string_view file;  // name for messages
  ModelPaths paths = ModelPaths::kAny;
};

// A document `applications: [...]`, or one application by itself (`name`, `deployments`, ...).
Checked<std::vector<AppSpec>> parse_document(const SpecSource& source);
// One application, as in PUT /api/v1/applications/{name}; `name` may be left out of the text when it is given here, and
// must agree when it is not left out.
Checked<AppSpec> parse_app(const SpecSource& source, std::string_view name = {});
// The body of Ray Serve's PUT /api/serve/applications/. route_prefix defaults to "/". Keys whose idea does not exist
// here are refused by name, unless they hold Ray's own default.
Checked<std::vector<AppSpec>> parse_ray_document(const SpecSource& source);

// {"target_num_replicas": n}: the body of .../deployments/{deployment}/scale.
Checked<int> parse_scale(const SpecSource& source);

// Relative paths of models and libraries are taken as relative to `folder` (absolute).
void make_paths_absolute(AppSpec& app, std::string_view folder);

// Every key is written, defaults included, in the order of docs and schema. parse_app reads all of it back.
std::string to_json_text(const AppSpec& app);
std::string to_yaml_text(const std::vector<AppSpec>& apps);  // a whole document
// One deployment, for processes that take a DeploymentSpec (ReconfigureRequest, the payload of an actor).
std::string deployment_to_json(const DeploymentSpec& d);
Result<DeploymentSpec> deployment_from_json(std::string_view text);

// JSON Schema (draft 2020-12) of a document, for editors: `colony schema`.
std::string app_schema_json();

}  // namespace colony
