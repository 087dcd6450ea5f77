// What a replica serves at a moment: its loaded models under their OIP names and the transform between bytes and tensors.
// A reconfiguration makes a new table beside the old one and swaps the pointer; requests that run keep theirs.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "observe/metrics.h"
#include "request/runtime/contract.h"
#include "request/runtime/oip/contract.h"

namespace colony::replica {

struct LoadedModel {
  std::shared_ptr<runtime::Model> model;
  bool warm_up = true;
  runtime::oip::ModelStatistics statistics;     // the loop's; pool threads never touch it
  TimePoint last_inference = TimePoint::min();  // likewise; statistics get it when they are asked for
  observe::Histogram durations;                 // likewise; without a registry it counts nothing
};

class ModelTable {
 public:
  // nullptr: not here. An empty version stands for the one that is loaded.
  LoadedModel* find(std::string_view name) const;
  // kNotFound names what exists.
  Result<LoadedModel*> get(std::string_view name, std::string_view version) const;
  LoadedModel& first() const { return *models.front(); }

  std::vector<std::unique_ptr<LoadedModel>> models;  // never empty
  std::unique_ptr<runtime::Transform> transform;     // null: none
  bool cheap = false;                                // every model is
};

using MakeRuntime = std::function<Result<std::unique_ptr<runtime::Runtime>>(const std::string&)>;

// Both on a pool thread. `names`: the OIP names in the order of the spec's models.
Result<std::unique_ptr<ModelTable>> load_models(const MakeRuntime& make_runtime, const DeploymentSpec& spec,
                                                const std::vector<std::string>& names);
// One request with zeros per model that wants it: first allocations and lazy initialisation happen before READY.
Result<void> warm_up(const ModelTable& table);

}  // namespace colony::replica
