// A proxy: the way in for requests. The control side of it, on one home loop: follows the discovery's table, hands every
// new one to the proxy's loops, acknowledges it when all of them use it, and keeps the proxy registered under a lease
// with its load. The data path is in ProxyLoop, one per loop; loops may run on threads of their own.
// On failure: without a discovery the proxy goes on with the last table; a lease that lapsed is taken again.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/scope.h"
#include "discovery/contract.h"
#include "discovery/table_view.h"
#include "request/proxy/proxy_loop.h"
#include "transport/tls/certificate_files.h"

namespace colony::proxy {

struct ProxyOptions {
  std::string id = "proxy";
  async::Endpoint listen{"127.0.0.1:8000"};  // port 0: picked, see endpoint()
  std::vector<async::Endpoint> sockets;      // "fd:N", one per loop: listened on in place of `listen`
  bool inherits = false;  // they are of a proxy before it, and clients have come to rely on its routes
  std::string node, zone;
  TrustedSources trusted;  // whose x-forwarded-* are believed
  Duration lease = 5s;
  Duration renew = 1s;
  http::ServerOptions server;           // its bounds of connections hold over all loops
  tls::Files tls;                       // empty: the port speaks plain HTTP
  size_t max_memory = size_t{1} << 30;  // LIMIT: buffers of all loops; above it new requests get 503. 0: no bound
  observe::Metrics* metrics = nullptr;  // outlives the proxy
};

// Of all loops together.
struct ProxyStats {
  http::ServerStats server;
  std::map<std::string, std::vector<std::shared_ptr<const RouteStats>>> deployments;  // per key, one per loop
};

class Proxy {
 public:
  // `discovery` is used on `home` only (discovery/threaded.h brings one from elsewhere); `loops` may contain `home`.
  // Loops and discovery outlive the proxy and keep running until stop() has been awaited.
  Proxy(async::Loop& home, discovery::Discovery& discovery, std::vector<async::Loop*> loops, ProxyOptions options);
  ~Proxy();  // after stop() has been awaited
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  // Follows the discovery, and listens on every loop as soon as the first table is in use (or after a second without
  // one); who inherits sockets, as soon as a table is in use that has every app (or after kWholeTable): until then the one
  // before it answers, or the connections wait. Registers when both have happened. After an error only stop() is left.
  async::Task<Result<async::Endpoint>> start();
  // Leaves the discovery, stops accepting, waits for what runs, at most until the deadline. True: nothing was cut off.
  // `grace`: how long an idle connection may still bring one request (its answer closes it).
  async::Task<bool> drain(Deadline deadline, Duration grace = Duration::zero());
  // Ends everything at once.
  async::Task<void> stop();

  const async::Endpoint& endpoint() const { return endpoint_; }
  uint64_t ongoing() const;
  // When the last request was seen, to the second; nullopt before the first. Home loop.
  std::optional<TimePoint> last_request() const { return last_request_; }
  uint64_t table_revision() const { return acknowledged_; }  // in use on all loops
  bool ready() const { return acknowledged_ > 0; }
  async::Task<ProxyStats> stats();

 private:
  struct OneLoop {
    async::Loop* loop = nullptr;
    std::unique_ptr<ProxyLoop> data;  // touched on `loop` only
    uint64_t applied = 0;             // home
  };
  Result<void> open_certificates();
  void show_certificate();
  async::Task<void> wait_for_routes();
  void on_update(const TableUpdate& update);
  void applied(size_t index, uint64_t revision);
  async::Task<void> acknowledge();
  async::Task<void> keep_registered();
  ProxyRecord record() const;
  // fn(ProxyLoop&) on every loop, results on home, in order of the loops.
  template <class T>
  async::Task<std::vector<T>> on_every_loop(std::function<T(ProxyLoop&)> fn);

  async::Loop& home_;
  discovery::Discovery& discovery_;
  ProxyOptions options_;
  std::vector<async::Loop*> loop_list_;
  std::vector<std::shared_ptr<OneLoop>> loops_;
  std::unique_ptr<observe::MetricShard> shard_;
  observe::Gauge expiry_;
  observe::Counter reloads_, failed_reloads_;
  std::unique_ptr<tls::CertificateFiles> certificates_;
  SnapshotBuilder builder_;
  discovery::TableView view_;
  TimePoint routes_changed_;  // when the table last was another
  std::unique_ptr<discovery::Subscription> subscription_;
  async::Endpoint endpoint_;
  uint64_t acknowledged_ = 0;
  std::optional<TimePoint> last_request_;
  uint64_t requests_seen_ = 0;  // at the last look
  bool acknowledging_ = false, registered_ = false, leaving_ = false, outage_ = false;
  async::Scope scope_;
  async::Signal in_use_;
};

}  // namespace colony::proxy
