// colony doctor: looks at this machine as Colony will find it: ports, libraries, cgroups, limits, GPU, disk. Each line says
// what is, and what to do when it is not right. Exit code 0 when nothing is wrong, 1 otherwise; warnings do not count.
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "control/cli/print.h"
#include "control/cli/verbs.h"

namespace colony::cli {
namespace {

namespace fs = std::filesystem;

struct Finding {
  std::string subject;
  std::string state;  // OK | WARN | FAIL
  std::string text;
};

// held: the addresses of the Colony that runs, which may of course have its ports.
Finding port(const std::string& address, std::string_view flag, const std::vector<std::string>& held) {
  const size_t colon = address.rfind(':');
  const std::string host = address.substr(0, colon), number = address.substr(colon + 1);
  const std::string subject = fmt::format("port {}", number);
  if (number == "0") return {subject, "OK", "a free one is picked"};
  if (std::find(held.begin(), held.end(), address) != held.end())
    return {subject, "OK", "held by the Colony that runs"};
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<uint16_t>(std::atoi(number.c_str())));
  if (inet_pton(AF_INET, host.c_str(), &at.sin_addr) != 1) at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  const int failed = bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0 ? 0 : errno;
  close(fd);
  if (failed == 0) return {subject, "OK", "free"};
  return {subject, "WARN",
          fmt::format("{}: {}; use another: colony up {} 127.0.0.1:0", address,
                      failed == EADDRINUSE ? "taken" : std::strerror(failed), flag)};
}

Finding open_files() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= 4096) return {"open files", "OK", fmt::format("{}", limit.rlim_cur)};
  return {"open files", "WARN",
          fmt::format("{}: each client connection needs one; raise it: ulimit -n 65536", limit.rlim_cur)};
}

Finding cgroups() {
  std::error_code ec;
  if (fs::exists("/sys/fs/cgroup/cgroup.controllers", ec)) {
    std::ifstream in("/sys/fs/cgroup/cgroup.controllers");
    std::string controllers;
    std::getline(in, controllers);
    const bool writable = access("/sys/fs/cgroup/cgroup.procs", W_OK) == 0;
    return {"cgroups", writable && controllers.find("memory") != std::string::npos ? "OK" : "WARN",
            fmt::format("v2, controllers: {}{}", controllers,
                        writable ? "" : "; not writable: memory limits fall back to rlimits")};
  }
  if (fs::exists("/sys/fs/cgroup/memory", ec)) {
    const bool writable = access("/sys/fs/cgroup/memory", W_OK) == 0;
    return {"cgroups", writable ? "OK" : "WARN",
            writable ? "v1, memory writable" : "v1, not writable: memory limits fall back to rlimits"};
  }
  return {"cgroups", "WARN", "none: memory limits fall back to rlimits"};
}

Finding onnxruntime(const std::vector<std::string>& places) {
  for (const auto& place : places)
    if (void* lib = dlopen(place.c_str(), RTLD_LAZY | RTLD_LOCAL)) {
      dlclose(lib);
      return {"onnxruntime", "OK", place};
    }
  return {"onnxruntime", "WARN",
          "not found: runtime onnx will not start; pip install 'colony-serve[onnx]' or set COLONY_ORT_LIBRARY"};
}

Finding gpu() {
  std::error_code ec;
  if (!fs::exists("/dev/nvidiactl", ec)) return {"gpu", "OK", "none: models run on the CPU"};
  if (void* lib = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL)) {
    dlclose(lib);
    return {"gpu", "OK", "NVIDIA device with driver library"};
  }
  return {"gpu", "WARN", "/dev/nvidiactl is there, libcuda.so.1 is not: install the driver's user-space libraries"};
}

Finding disk(const std::string& dir) {
  std::error_code ec;
  fs::path p = dir;
  while (!p.empty() && !fs::exists(p, ec)) p = p.parent_path();
  if (access(p.c_str(), W_OK) != 0)
    return {"data dir", "FAIL", fmt::format("{} is not writable; give --data-dir", p.string())};
  struct statvfs s{};
  statvfs(p.c_str(), &s);
  const double free = static_cast<double>(s.f_bavail) * static_cast<double>(s.f_frsize) / 1e9;
  if (free < 0.1)
    return {"data dir", "FAIL", fmt::format("{}: {:.2f} GB free; free some space or give --data-dir", dir, free)};
  return {"data dir", "OK", fmt::format("{} ({:.1f} GB free)", dir, free)};
}

Finding kernel_pidfd() {
  std::ifstream in("/proc/sys/kernel/osrelease");
  std::string release;
  in >> release;
  int major = 0, minor = 0;
  std::sscanf(release.c_str(), "%d.%d", &major, &minor);
  if (major > 5 || (major == 5 && minor >= 9)) return {"kernel", "OK", release};
  return {"kernel", "FAIL", fmt::format("{}: Colony needs 5.9 or newer (pidfd, close_range)", release)};
}

Finding server(const Common& common, std::vector<std::string>& held) {
  auto target = find_target(common.address, common.token_file);
  if (!target) return {"server", "WARN", target.error().message};
  target->timeout = 2s;
  ControlClient client(*target);
  auto status = client.call("GET", "/api/v1/status");
  if (!status) return {"server", "OK", fmt::format("none at {}", target->address)};
  const auto doc = nlohmann::json::parse(*status, nullptr, false);
  held.push_back(target->address);
  for (const auto& proxy : doc.value("proxies", nlohmann::json::array())) {
    const std::string at = proxy.value("address", "");
    held.push_back(at.substr(at.starts_with("https://") ? 8 : 0));
  }
  return {"server", "OK",
          fmt::format("runs at {} with {} applications", target->address,
                      doc.value("applications", nlohmann::json::array()).size())};
}

}  // namespace

int doctor(const Common& common, const DoctorOptions& options) {
  std::vector<std::string> held;
  Finding running = server(common, held);
  std::vector<Finding> findings{
      kernel_pidfd(),
      {"cores", "OK", std::to_string(std::thread::hardware_concurrency())},
      std::move(running),
      port(options.http, "--http", held),
      port(options.control, "--control", held),
      open_files(),
      cgroups(),
      onnxruntime(options.onnx_places),
      gpu(),
      disk(options.data_dir),
  };
  bool bad = false;
  for (const auto& f : findings) bad |= f.state == "FAIL";
  if (common.json) {
    auto out = nlohmann::json::array();
    for (const auto& f : findings) out.push_back({{"subject", f.subject}, {"state", f.state}, {"detail", f.text}});
    fmt::print("{}\n", out.dump(2));
    return bad ? 1 : 0;
  }
  const bool tty = stdout_is_tty();
  for (const auto& f : findings) {
    const Colour c = f.state == "OK" ? Colour::kGreen : f.state == "WARN" ? Colour::kYellow : Colour::kRed;
    fmt::print("{}  {:<12}  {}\n", paint(c, fmt::format("{:<4}", f.state), tty), f.subject, f.text);
  }
  return bad ? 1 : 0;
}

}  // namespace colony::cli
