// Every metric family of Colony, in the order of a request's way and then of the control path. Units are seconds and
// bytes; labels are bounded (no path, no id of a request). Aliases are Ray Serve's names where they mean the same.
#pragma once

#include "observe/metrics.h"

namespace colony::observe {

// ---- the proxy ----
inline constexpr MetricFamily kHttpRequests{.name = "colony_http_requests_total",
                                            .help = "Requests that a proxy has answered.",
                                            .labels = {"application", "route", "method", "code"},
                                            .alias = "ray_serve_num_http_requests_total",
                                            .alias_code = "status_code"};
inline constexpr MetricFamily kHttpErrors{.name = "colony_http_error_requests_total",
                                          .help = "Requests that a proxy has answered with a status of 400 or above.",
                                          .labels = {"application", "route", "method", "code"},
                                          .alias = "ray_serve_num_http_error_requests_total",
                                          .alias_code = "error_code"};
inline constexpr MetricFamily kHttpDuration{
    .name = "colony_http_request_duration_seconds",
    .help = "From the end of a request's head to the last byte of its answer, in the proxy.",
    .kind = MetricKind::kHistogram,
    .labels = {"application", "route", "method", "code"},
    .alias = "ray_serve_http_request_latency_ms",
    .alias_scale = 1000,
    .alias_code = "status_code"};
inline constexpr MetricFamily kGrpcRequests{
    .name = "colony_grpc_requests_total",
    .help = "gRPC calls that a proxy has answered; code is the gRPC status name.",
    .labels = {"application", "route", "code"}};
inline constexpr MetricFamily kHttpConnections{
    .name = "colony_http_open_connections", .help = "Client connections that are open.", .kind = MetricKind::kGauge};
inline constexpr MetricFamily kHttpBadRequests{
    .name = "colony_http_bad_requests_total",
    .help = "Requests refused before they were routed, because they are not valid HTTP."};
inline constexpr MetricFamily kTlsHandshakes{
    .name = "colony_tls_handshakes_total",
    .help = "TLS handshakes of a proxy's port by result: full, resumed, failed, timed_out, crowded_out.",
    .labels = {"result"}};
inline constexpr MetricFamily kTlsReloads{
    .name = "colony_tls_certificate_reloads_total",
    .help = "Changes of the proxy's certificate files by result: ok, failed (the old ones stay in use).",
    .labels = {"result"}};
inline constexpr MetricFamily kTlsExpiry{.name = "colony_tls_certificate_expiry_timestamp_seconds",
                                         .help = "When the certificate that a proxy shows ends, as Unix time.",
                                         .kind = MetricKind::kGauge};
inline constexpr MetricFamily kLimitHits{
    .name = "colony_limit_hits_total",
    .help = "Requests and connections that were refused or ended by a limit (docs/limits.md).",
    .labels = {"limit"}};
inline constexpr MetricFamily kLimitUsed{.name = "colony_limit_used",
                                         .help = "How much of a limit is used: open connections, bytes in buffers.",
                                         .kind = MetricKind::kGauge,
                                         .labels = {"limit"}};
inline constexpr MetricFamily kRouterRequests{.name = "colony_router_requests_total",
                                              .help = "Requests that a proxy has sent to a replica of the deployment.",
                                              .labels = {"application", "deployment"},
                                              .alias = "ray_serve_num_router_requests_total"};
inline constexpr MetricFamily kRouterQueued{.name = "colony_router_queued_requests",
                                            .help = "Requests that wait in a proxy for a replica with room.",
                                            .kind = MetricKind::kGauge,
                                            .labels = {"application", "deployment"},
                                            .alias = "ray_serve_deployment_queued_queries"};
inline constexpr MetricFamily kRouterOngoing{
    .name = "colony_router_ongoing_requests",
    .help = "Requests that a proxy has sent to replicas and that are not answered yet.",
    .kind = MetricKind::kGauge,
    .labels = {"application", "deployment"},
    .alias = "ray_serve_num_ongoing_requests_at_replicas"};
inline constexpr MetricFamily kRouterQueueDuration{.name = "colony_router_queue_duration_seconds",
                                                   .help = "From routing to a replica that takes the request.",
                                                   .kind = MetricKind::kHistogram,
                                                   .labels = {"application", "deployment"},
                                                   .alias = "ray_serve_request_router_fulfillment_time_ms",
                                                   .alias_scale = 1000};
inline constexpr MetricFamily kRouterUpstreamDuration{
    .name = "colony_router_upstream_duration_seconds",
    .help = "From sending a request to a replica to the first byte of its answer.",
    .kind = MetricKind::kHistogram,
    .labels = {"application", "deployment"}};
inline constexpr MetricFamily kRouterRefused{
    .name = "colony_router_refused_requests_total",
    .help = "Requests that the proxy itself refused, by reason (queue_full, deadline, no_replica, ...).",
    .labels = {"application", "deployment", "reason"}};
inline constexpr MetricFamily kRouterRetries{
    .name = "colony_router_retries_total",
    .help = "Requests that were sent to another replica after the first one failed.",
    .labels = {"application", "deployment"}};
inline constexpr MetricFamily kRouterRetriesRefused{
    .name = "colony_router_retries_refused_total",
    .help = "Failed requests that were not sent again because the retry budget was spent.",
    .labels = {"application", "deployment"}};
inline constexpr MetricFamily kRouterEjections{
    .name = "colony_router_ejections_total",
    .help = "How often a replica was left out because it failed much more often than the others.",
    .labels = {"application", "deployment"}};
inline constexpr MetricFamily kRouterEjected{
    .name = "colony_router_ejected_replicas",
    .help = "Replicas that are left out now, summed over the loops of a proxy.",
    .kind = MetricKind::kGauge,
    .labels = {"application", "deployment"}};

// ---- the replica ----
inline constexpr MetricFamily kReplicaRequests{.name = "colony_replica_requests_total",
                                               .help = "Requests that the replica has finished.",
                                               .labels = {"application", "deployment", "replica"},
                                               .alias = "ray_serve_deployment_request_counter_total"};
inline constexpr MetricFamily kReplicaErrors{.name = "colony_replica_errors_total",
                                             .help = "Requests that ended with an error inside the replica.",
                                             .labels = {"application", "deployment", "replica"},
                                             .alias = "ray_serve_deployment_error_counter_total"};
inline constexpr MetricFamily kReplicaOngoing{.name = "colony_replica_ongoing_requests",
                                              .help = "Requests that the replica works on.",
                                              .kind = MetricKind::kGauge,
                                              .labels = {"application", "deployment", "replica"},
                                              .alias = "ray_serve_replica_processing_queries"};
inline constexpr MetricFamily kReplicaQueueDuration{
    .name = "colony_replica_queue_duration_seconds",
    .help = "From a request's arrival at the replica to the start of its work.",
    .kind = MetricKind::kHistogram,
    .labels = {"application", "deployment", "replica"}};
inline constexpr MetricFamily kReplicaDuration{
    .name = "colony_replica_processing_duration_seconds",
    .help = "From the start of a request's work in the replica to its answer.",
    .kind = MetricKind::kHistogram,
    .labels = {"application", "deployment", "replica"},
    .alias = "ray_serve_deployment_processing_latency_ms",
    .alias_scale = 1000};
inline constexpr MetricFamily kModelDuration{.name = "colony_model_infer_duration_seconds",
                                             .help = "One run of a model, without decoding and encoding.",
                                             .kind = MetricKind::kHistogram,
                                             .labels = {"application", "deployment", "replica", "model", "version"}};

// ---- the control path ----
inline constexpr MetricFamily kReplicas{.name = "colony_replicas",
                                        .help = "Replicas by state.",
                                        .kind = MetricKind::kGauge,
                                        .labels = {"application", "deployment", "state"}};
inline constexpr MetricFamily kReplicaHealthy{.name = "colony_replica_healthy",
                                              .help = "1 while the replica is READY, else 0.",
                                              .kind = MetricKind::kGauge,
                                              .labels = {"application", "deployment", "replica"},
                                              .alias = "ray_serve_deployment_replica_healthy"};
inline constexpr MetricFamily kReplicaStarts{.name = "colony_replica_starts_total",
                                             .help = "Replicas that were started, restarts included.",
                                             .labels = {"application", "deployment", "replica"},
                                             .alias = "ray_serve_deployment_replica_starts_total"};
inline constexpr MetricFamily kReplicaStartDuration{.name = "colony_replica_start_duration_seconds",
                                                    .help = "From the decision to start a replica to READY.",
                                                    .kind = MetricKind::kHistogram,
                                                    .labels = {"application", "deployment"}};
inline constexpr MetricFamily kControlRequests{.name = "colony_control_requests_total",
                                               .help = "Calls of the control API; code is the HTTP status.",
                                               .labels = {"method", "route", "code"}};
inline constexpr MetricFamily kControlDuration{.name = "colony_control_request_duration_seconds",
                                               .help = "Calls of the control API.",
                                               .kind = MetricKind::kHistogram,
                                               .labels = {"method", "route"}};
inline constexpr MetricFamily kBuildInfo{.name = "colony_build_info",
                                         .help = "1; the version is in the label.",
                                         .kind = MetricKind::kGauge,
                                         .labels = {"version"}};

}  // namespace colony::observe
