// The search order is docs/runtimes.md's: what was configured; beside the binary (../lib, and the environment that a wheel
// was installed into); the cache folder that ./dev setup fills; the loader's own path.
#include "request/runtime/onnx/library.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <mutex>

#include "base/log.h"
#include "request/runtime/onnx/ort_api.h"

namespace colony::runtime::onnx {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSoname = "libonnxruntime.so.1";
constexpr std::string_view kWayOut =
    "install it with `pip install onnxruntime` (or `pip install \"colony-serve[onnx]\"`), or give its path as "
    "`library:` of "
    "the model or in COLONY_ORT_LIBRARY";

std::string environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody sets variables after start
  return value ? value : "";
}

// Adds what a folder holds, the plain soname first, then the highest version; the folder itself when it holds nothing, so
// that the error can name it.
void add_folder(std::vector<Place>& out, const std::string& what, const fs::path& folder) {
  std::error_code ignored;
  const fs::path clean = folder.lexically_normal();
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(clean, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("libonnxruntime.so")) names.push_back(name);
  }
  std::ranges::sort(names, [](const std::string& a, const std::string& b) {
    return std::pair(a != kSoname, b) < std::pair(b != kSoname, a);
  });
  for (const auto& name : names) out.push_back({what, (clean / name).string()});
  if (names.empty()) out.push_back({what, (clean / kSoname).string()});
}

// lib/python3.X/site-packages of a Python environment.
void add_environment(std::vector<Place>& out, const std::string& what, const fs::path& lib) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(lib, ignored))
    if (entry.path().filename().string().starts_with("python3"))
      add_folder(out, what, entry.path() / "site-packages/onnxruntime/capi");
}

void log_line(void*, OrtLoggingLevel severity, const char*, const char* id, const char*, const char* message) {
  switch (severity) {
    case ORT_LOGGING_LEVEL_FATAL: LOG(error, "onnxruntime {}: {}", id, message); break;
    case ORT_LOGGING_LEVEL_ERROR: LOG(warn, "onnxruntime {}: {}", id, message); break;
    case ORT_LOGGING_LEVEL_WARNING: LOG(info, "onnxruntime {}: {}", id, message); break;
    default: LOG(debug, "onnxruntime {}: {}", id, message);
  }
}

struct Opened {
  void* handle = nullptr;
  std::string path;
};

Result<Opened> open_first(const std::vector<Place>& tried) {
  std::string reasons;
  for (const auto& place : tried) {
    if (void* handle = dlopen(place.path.c_str(), RTLD_NOW | RTLD_LOCAL)) return Opened{handle, place.path};
    const char* why = dlerror();
    std::string_view text = why ? why : "cannot be opened";
    // The loader repeats the path in front of its reason.
    if (text.starts_with(place.path)) text.remove_prefix(std::min(text.size(), place.path.size() + 2));
    reasons += fmt::format("\n  {} ({}): {}", place.path, place.what, text);
  }
  return fail(
      failed_precondition(fmt::format("ONNX Runtime's library was not found: {}. Places tried:{}", kWayOut, reasons),
                          "onnxruntime_missing"));
}

Result<std::shared_ptr<const Library>> open_now(const std::string& configured) {
  TRY(const Opened opened, open_first(places(configured)));
  auto* entry = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(opened.handle, "OrtGetApiBase"));
  const OrtApiBase* base = entry ? entry() : nullptr;
  if (!base) {
    dlclose(opened.handle);
    return fail(
        failed_precondition(fmt::format("{} is not ONNX Runtime: it has no OrtGetApiBase; {}", opened.path, kWayOut),
                            "onnxruntime_broken"));
  }
  const std::string version = base->GetVersionString();
  const OrtApi* api = base->GetApi(ORT_API_VERSION);
  if (!api) {
    dlclose(opened.handle);
    return fail(
        failed_precondition(fmt::format("{} is ONNX Runtime {}, which is too old: version 1.{} or newer is needed; {}",
                                        opened.path, version, ORT_API_VERSION, kWayOut),
                            "onnxruntime_too_old"));
  }
  Ort::InitApi(api);
  try {
    auto library = std::make_shared<Library>();
    library->path = opened.path;
    library->version = version;
    library->env = std::make_shared<Ort::Env>(ORT_LOGGING_LEVEL_WARNING, "colony", &log_line, nullptr);
    library->env->DisableTelemetryEvents();
    for (const auto& name : Ort::GetAvailableProviders()) library->providers.push_back(short_provider_name(name));
    LOG(info, "ONNX Runtime {} from {} (providers: {})", version, opened.path, fmt::join(library->providers, ", "));
    return library;
  } catch (const std::exception& e) {
    return fail(failed_precondition(fmt::format("{} does not start: {}", opened.path, e.what()), "onnxruntime_broken"));
  }
}

}  // namespace

std::string short_provider_name(std::string_view name) {
  constexpr std::string_view kSuffix = "ExecutionProvider";
  if (name.ends_with(kSuffix)) name.remove_suffix(kSuffix.size());
  std::string out(name);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

std::vector<Place> places(const std::string& configured) {
  if (!configured.empty()) return {{"model.library", configured}};
  if (std::string named = environment("COLONY_ORT_LIBRARY"); !named.empty()) return {{"COLONY_ORT_LIBRARY", named}};
  std::vector<Place> out;
  std::error_code ignored;
  const fs::path binary = fs::read_symlink("/proc/self/exe", ignored);
  if (!binary.empty()) {
    const fs::path here = binary.parent_path();
    add_folder(out, "beside the binary", here / "../lib");
    add_folder(out, "beside the binary", here);
    add_folder(out, "the package that the binary was installed with", here / "../../onnxruntime/capi");
    add_environment(out, "the binary's Python environment", here / "../lib");
  }
  if (const std::string active = environment("VIRTUAL_ENV"); !active.empty())
    add_environment(out, "VIRTUAL_ENV", fs::path(active) / "lib");
  std::string cache = environment("XDG_CACHE_HOME");
  if (const std::string home = environment("HOME"); cache.empty() && !home.empty()) cache = home + "/.cache";
  if (!cache.empty())
    add_folder(out, "the cache of ./dev setup", fs::path(cache) / "colony/third_party/onnxruntime/onnxruntime/capi");
  out.push_back({"the loader's path", std::string(kSoname)});
  return out;
}

Result<std::shared_ptr<const Library>> open_library(const std::string& configured) {
  // WHY process-wide: dlopen and the function table behind ONNX Runtime's C++ classes are.
  static std::mutex mutex;
  static std::shared_ptr<const Library> opened;
  std::lock_guard lock(mutex);
  if (!opened) {
    TRY(opened, open_now(configured));
    return opened;
  }
  if (!configured.empty() && configured != opened->path)
    return fail(
        failed_precondition(fmt::format("library '{}': this process has already opened ONNX Runtime from {}; all "
                                        "models of a deployment use one library",
                                        configured, opened->path)));
  return opened;
}

}  // namespace colony::runtime::onnx
