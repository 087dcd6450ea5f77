// What the launcher tells the processes of the house at their start (engine::ActorSpec::payload), as JSON text. One flat
// struct: each role reads what it needs.
#pragma once

#include <map>
#include <string>

#include "base/result.h"
#include "base/time.h"

namespace colony::app {

struct RolePayload {
  std::string agent, discovery, master_host;     // addresses of the others' sockets
  std::string listen;                            // proxy: requests; keeper: the control API
  std::string data_dir, token_file;              // keeper
  std::string tls_cert, tls_key, tls_client_ca;  // proxy: paths
  std::string take_over;                         // proxy: where the one that it replaces lends its listening sockets
  std::string node;
  int loops = 0;                         // proxy
  std::string trusted_proxies;           // proxy
  std::map<std::string, double> limits;  // proxy: Config::limits
  std::string log_level = "info";
};

std::string to_json(const RolePayload& p);
Result<RolePayload> role_payload_from_json(std::string_view text);

}  // namespace colony::app
