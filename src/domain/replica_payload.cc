// JSON of ReplicaPayload. The deployment is nested in its own canonical form, so that there is one reader of it.
#include "domain/replica_payload.h"

#include <nlohmann/json.hpp>

#include "domain/spec_parse.h"

namespace colony {

using nlohmann::json;

std::string to_json(const ReplicaPayload& p) {
  return json{{"app", p.app},
              {"deployment", json::parse(deployment_to_json(p.deployment))},
              {"model_names", p.model_names},
              {"revision", p.revision},
              {"epoch", p.epoch}}
      .dump();
}

Result<ReplicaPayload> replica_payload_from_json(std::string_view text) {
  auto doc = json::parse(text, nullptr, false);
  auto bad = [](std::string_view what) {
    return fail(invalid_argument("replica payload: " + std::string(what), "bad_payload"));
  };
  if (!doc.is_object()) return bad("is not a JSON object");
  for (const char* key : {"app", "deployment", "model_names", "revision", "epoch"})
    if (!doc.contains(key)) return bad(std::string(key) + " is missing");
  if (!doc["app"].is_string() || !doc["model_names"].is_array() || !doc["revision"].is_number_unsigned() ||
      !doc["epoch"].is_number_unsigned())
    return bad("app, model_names, revision or epoch has the wrong type");
  ReplicaPayload out;
  out.app = doc["app"].get<std::string>();
  TRY(out.deployment, deployment_from_json(doc["deployment"].dump()));
  for (const auto& name : doc["model_names"]) {
    if (!name.is_string()) return bad("model_names holds something that is no string");
    out.model_names.push_back(name.get<std::string>());
  }
  out.revision = doc["revision"].get<uint64_t>();
  out.epoch = doc["epoch"].get<uint64_t>();
  return out;
}

}  // namespace colony
