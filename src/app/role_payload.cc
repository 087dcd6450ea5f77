// Both directions in one place, so that a new field cannot be forgotten in one of them.
#include "app/role_payload.h"

#include <nlohmann/json.hpp>

namespace colony::app {

using nlohmann::json;

std::string to_json(const RolePayload& p) {
  return json{{"agent", p.agent},
              {"discovery", p.discovery},
              {"master_host", p.master_host},
              {"listen", p.listen},
              {"data_dir", p.data_dir},
              {"token_file", p.token_file},
              {"tls_cert", p.tls_cert},
              {"tls_key", p.tls_key},
              {"tls_client_ca", p.tls_client_ca},
              {"take_over", p.take_over},
              {"trusted_proxies", p.trusted_proxies},
              {"node", p.node},
              {"loops", p.loops},
              {"log_level", p.log_level},
              {"limits", p.limits}}
      .dump();
}

Result<RolePayload> role_payload_from_json(std::string_view text) {
  const auto doc = json::parse(text, nullptr, false);
  if (!doc.is_object()) return fail(invalid_argument("role payload: is not a JSON object", "bad_payload"));
  RolePayload p;
  try {
    p.agent = doc.value("agent", "");
    p.discovery = doc.value("discovery", "");
    p.master_host = doc.value("master_host", "");
    p.listen = doc.value("listen", "");
    p.data_dir = doc.value("data_dir", "");
    p.token_file = doc.value("token_file", "");
    p.tls_cert = doc.value("tls_cert", "");
    p.tls_key = doc.value("tls_key", "");
    p.tls_client_ca = doc.value("tls_client_ca", "");
    p.take_over = doc.value("take_over", "");
    p.node = doc.value("node", "");
    p.loops = doc.value("loops", 0);
    p.trusted_proxies = doc.value("trusted_proxies", "");
    p.limits = doc.value("limits", p.limits);
    p.log_level = doc.value("log_level", "info");
  } catch (const json::exception& e) {
    return fail(invalid_argument(std::string("role payload: ") + e.what(), "bad_payload"));
  }
  return p;
}

}  // namespace colony::app
