// Loading in the order of the spec; the first failure gives up what was loaded before it.
#include "request/replica/model_table.h"

#include <fmt/format.h>

namespace colony::replica {
namespace {

runtime::InferRequest zeros(const runtime::ModelInfo& info) {
  runtime::InferRequest request;
  request.model = info.name;
  for (const auto& t : info.inputs) {
    std::vector<int64_t> shape = t.shape;
    uint64_t count = 1;
    for (int64_t& d : shape) {
      if (d < 0) d = 1;
      count *= static_cast<uint64_t>(d);
    }
    // Four zero bytes are an empty element of BYTES.
    const size_t size = t.type == runtime::DataType::kBytes ? 4 : runtime::element_size(t.type);
    request.inputs.push_back(runtime::own_tensor(t.name, t.type, std::move(shape), std::string(count * size, '\0')));
  }
  return request;
}

}  // namespace

LoadedModel* ModelTable::find(std::string_view name) const {
  for (const auto& m : models)
    if (m->model->info().name == name) return m.get();
  return nullptr;
}

Result<LoadedModel*> ModelTable::get(std::string_view name, std::string_view version) const {
  LoadedModel* found = find(name);
  if (!found) {
    std::string names;
    for (const auto& m : models) names += (names.empty() ? "" : ", ") + m->model->info().name;
    return fail(not_found(fmt::format("model '{}' is not here; there are: {}", name, names), "model_not_found"));
  }
  const auto& loaded = found->model->info().version;
  if (!version.empty() && version != loaded)
    return fail(
        not_found(fmt::format("model '{}' has version {}, not '{}'", name, loaded, version), "version_not_found"));
  return found;
}

Result<std::unique_ptr<ModelTable>> load_models(const MakeRuntime& make_runtime, const DeploymentSpec& spec,
                                                const std::vector<std::string>& names) {
  TRY(const auto runtime, make_runtime(spec.runtime));
  std::vector<ModelSpec> specs = spec.models;
  if (specs.empty()) specs.push_back(spec.model.value_or(ModelSpec()));
  if (names.size() != specs.size())
    return fail(internal_error(fmt::format("{} model names for {} models", names.size(), specs.size())));
  auto table = std::make_unique<ModelTable>();
  table->cheap = true;
  for (size_t i = 0; i < specs.size(); ++i) {
    auto model = runtime->load(specs[i], names[i], spec.user_config);
    if (!model) return fail(std::move(model.error()).within(fmt::format("model '{}'", names[i])));
    auto loaded = std::make_unique<LoadedModel>();
    loaded->warm_up = specs[i].warmup && !(*model)->info().any_tensor;
    loaded->statistics.name = names[i];
    loaded->statistics.version = (*model)->info().version;
    table->cheap = table->cheap && (*model)->cheap();
    loaded->model = std::move(*model);
    table->models.push_back(std::move(loaded));
  }
  if (!spec.transform.empty()) {
    TRY(table->transform, runtime::make_transform(spec.transform, specs.front().path));
  }
  return table;
}

Result<void> warm_up(const ModelTable& table) {
  for (const auto& m : table.models) {
    if (!m->warm_up) continue;
    auto reply = m->model->infer(zeros(m->model->info()));
    if (!reply)
      return fail(std::move(reply.error())
                      .within(fmt::format("warm-up of model '{}' with zeros (`warmup: false` leaves it out)",
                                          m->model->info().name)));
  }
  return {};
}

}  // namespace colony::replica
