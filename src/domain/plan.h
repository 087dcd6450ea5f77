// What an apply, a delete or a scale will do, before it is done: the difference of two specs as a list of actions, for a
// person (`text`) and for a machine. Pure; the master decides by itself, by the same rules (domain/app_spec.h process_hash).
#pragma once

#include <string>
#include <vector>

#include "domain/app_spec.h"

namespace colony {

struct PlanAction {
  enum class Kind : uint8_t {
    kCreateApp,
    kDeleteApp,
    kCreateDeployment,
    kDeleteDeployment,
    kScale,        // num_replicas alone
    kReconfigure,  // in place, beside the old one, then swapped: user_config, model, models
    kRestart,      // new processes, batch by batch
    kRetune,       // takes effect at once, nothing is loaded or restarted: timeouts, queue bounds
    kRoute,        // route_prefix, or which deployment is the ingress
    kRetry,        // nothing changed, but the last revision failed: try again
  };
  Kind kind;
  std::string app, deployment;    // deployment empty: of the app
  std::vector<std::string> keys;  // that changed
  std::string from, to;           // of kScale and kRoute
  std::string text() const;       // "scale deployment filetype/classifier from 2 to 8 replicas"
};
std::string_view to_string(PlanAction::Kind kind);  // "create_app", ...

// Null: there is none. Both null: nothing.
std::vector<PlanAction> make_plan(const AppSpec* before, const AppSpec* after);
// [{"kind","app","deployment","keys","from","to","text"}]
std::string to_json_text(const std::vector<PlanAction>& plan);

}  // namespace colony
