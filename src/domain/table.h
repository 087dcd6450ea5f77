// What discovery carries: which applications exist, where their replicas listen, which proxies serve. Masters publish an
// AppRecord, proxies register a ProxyRecord; whoever subscribes gets TableUpdates. Values only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.h"

namespace colony {

struct ReplicaRecord {
  std::string id;
  uint64_t incarnation = 1;  // counts restarts in place: a new one means a new connection
  std::string address;       // "unix:/..." the replica's socket
  std::string node;
  std::string zone;
  bool draining = false;  // no new requests; those that run finish
  std::string protocol;   // "": frames, as our replicas speak; "http1" or "h2c": a server of the user's own
  bool operator==(const ReplicaRecord&) const = default;
};

struct DeploymentRecord {
  std::string name;
  std::string runtime;
  std::string transform;
  std::vector<std::string> models;          // OIP names
  std::vector<std::string> model_versions;  // of them, in their order
  std::string route_prefix;                 // of the ingress deployment; "" for others
  std::vector<std::string> hosts;           // likewise; lower case, without a port
  std::vector<std::string> grpc_services;
  int max_ongoing_requests = 5;
  int max_queued_requests = -1;
  Duration request_timeout = 60s;
  bool idempotent = false;  // every request may be sent to a second replica when the first one fails
  std::vector<ReplicaRecord> replicas;
  bool operator==(const DeploymentRecord&) const = default;
};

struct AppRecord {
  std::string app;
  uint64_t epoch = 0;                         // of the master; a lower one is refused
  uint64_t version = 0;                       // counts publications within an epoch
  std::vector<DeploymentRecord> deployments;  // the ingress first
  bool operator==(const AppRecord&) const = default;
};

struct ProxyRecord {
  std::string id;
  std::string address;  // "127.0.0.1:8000"
  std::string node;
  std::string zone;
  uint64_t ongoing = 0;  // load
  std::vector<std::string> protocols = {"http/1.1", "h2c", "grpc"};
  bool operator==(const ProxyRecord&) const = default;
};

struct TableUpdate {
  uint64_t revision = 0;
  // First update of a subscription: everything that is known. complete: absent means deleted. Not complete (the discovery
  // has just restarted and its publishers have not all come back): absent means unknown, so keep what you have.
  bool full = false;
  bool complete = true;
  std::vector<AppRecord> apps;  // new or changed
  std::vector<std::string> removed_apps;
  std::vector<ProxyRecord> proxies;
  std::vector<std::string> removed_proxies;
};

}  // namespace colony
