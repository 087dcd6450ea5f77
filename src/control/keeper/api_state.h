// The control API's handlers, spread over api.cc (applications), api_watch.cc (streams) and ray_api.cc. Private to the room.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/keeper/api.h"
#include "discovery/table_view.h"
#include "domain/spec_parse.h"

namespace colony::keeper {

struct ControlApi::State {
  State(Deps d, Options o);

  // applications
  async::Task<http::Reply> list_apps(http::Request request);
  async::Task<http::Reply> get_app(http::Request request);
  async::Task<http::Reply> get_spec(http::Request request);
  async::Task<http::Reply> put_app(http::Request request);
  async::Task<http::Reply> put_document(http::Request request);
  async::Task<http::Reply> delete_app(http::Request request);
  async::Task<http::Reply> scale(http::Request request);
  // the whole
  async::Task<http::Reply> get_status(http::Request request);
  async::Task<http::Reply> get_metrics(http::Request request);
  async::Task<http::Reply> get_nodes(http::Request request);
  async::Task<http::Reply> post_shutdown(http::Request request);
  async::Task<http::Reply> post_restart_proxy(http::Request request);
  // streams
  async::Task<void> watch_all(http::Request request, http::ReplyStream& stream);
  async::Task<void> watch_app(http::Request request, http::ReplyStream& stream);
  async::Task<void> watch(std::string app, http::ReplyStream& stream);
  async::Task<void> logs(http::Request request, http::ReplyStream& stream);
  // Ray Serve
  async::Task<http::Reply> ray_get(http::Request request);
  async::Task<http::Reply> ray_put(http::Request request);
  async::Task<http::Reply> ray_delete(http::Request request);

  struct Applied {
    std::vector<Change> changes;
    std::vector<std::string> deleted;
    std::optional<Error> error;  // of the first that failed; those before it are done
  };
  async::Task<Applied> apply_all(std::vector<AppSpec> specs, ChangeOptions options, bool prune);

  Deps deps;
  Options options;
  async::Scope scope;  // waits of streams
  discovery::TableView table;
  std::unique_ptr<discovery::Subscription> subscription;
};

// ---- replies (api_replies.cc) ----

http::Reply json_reply(int status, std::string body);
http::Reply text_reply(int status, std::string body);
http::Reply problems_reply(const Problems& problems);
// {"error","code","reason"}, with the status of its code.
http::Reply error_as_reply(const Error& error);
std::string json_string(std::string_view text);  // as a JSON string
std::string change_json(const Change& change, bool dry_run);

// ---- requests (api_replies.cc) ----

// kInvalidArgument when the query has a parameter that is none of `known`, or one twice.
Result<void> check_params(const http::Request& request, std::initializer_list<std::string_view> known);
Result<bool> flag_param(const http::Request& request, std::string_view name);  // absent: false
Result<std::optional<uint64_t>> number_param(const http::Request& request, std::string_view name, uint64_t low,
                                             uint64_t high);
// ?dry_run and ?revision.
Result<ChangeOptions> change_options(const http::Request& request);
// By content-type; nullopt: neither JSON nor YAML (415).
std::optional<SpecFormat> body_format(const http::Request& request);
http::Reply unsupported_type(const http::Request& request);
bool same_secret(std::string_view a, std::string_view b);  // in time that does not depend on where they differ

const std::string& openapi_json(const std::string& version);  // openapi.cc
std::string openapi_schemas_json();                           // openapi_schemas.cc: its components/schemas
const std::string& ray_version_json();                        // ray_api.cc

}  // namespace colony::keeper
