// The table of settings and the one walk over it. Values are checked here, once, whatever place they came from.
#include "app/config.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "domain/settings_file.h"
#include "request/proxy/forward/trusted_sources.h"
#include "transport/http/head.h"

namespace colony::app {
namespace {

constexpr SettingRow kRows[] = {
    {"http", SettingKind::kAddress, "127.0.0.1:8000",
     "where requests come in (HTTP/1.1, HTTP/2 and gRPC on one port); port 0 picks a free one", ""},
    {"tls_cert", SettingKind::kPath, "",
     "certificate chain in PEM form: requests come in over TLS (with --tls-key); read again when it changes", ""},
    {"tls_key", SettingKind::kPath, "", "private key of --tls-cert in PEM form, without a passphrase", ""},
    {"tls_client_ca", SettingKind::kPath, "",
     "authorities in PEM form: only clients with a certificate of theirs are served", ""},
    {"control", SettingKind::kAddress, "127.0.0.1:8270",
     "where the control API listens; off loopback it needs --token-file", ""},
    {"data_dir", SettingKind::kPath, "", "where state, logs and sockets live (default ~/.local/share/colony)", ""},
    {"token_file", SettingKind::kPath, "", "file whose first line is the token that the control API asks for", ""},
    {"processes", SettingKind::kSwitch, "false",
     "keeper, master host, discovery, agent and proxy as processes of their own", ""},
    {"trusted_proxies", SettingKind::kNetworks, "",
     "networks whose Forwarded and X-Forwarded-* are believed, such as 10.0.0.0/8,127.0.0.1; from others they are "
     "replaced",
     ""},
    {"loops", SettingKind::kCount, "0", "event loops of the proxy; 0 is one per core", ""},
    {"cpus", SettingKind::kCount, "0", "capacity that num_cpus of all replicas may add up to; 0 is 8 per core", ""},
    {"node", SettingKind::kText, "", "id of this node (default: the host's name)", ""},
    {"orphan_timeout_s", SettingKind::kSeconds, "600",
     "a replica whose Colony has died ends after this long without a request", ""},
    {"drain_timeout_s", SettingKind::kSeconds, "30", "how long running requests may take to end on Ctrl-C", ""},
    {"log_level", SettingKind::kChoice, "info", "debug, info, warn or error", "debug|info|warn|error"},
    {"log_format", SettingKind::kChoice, "auto", "auto (text on a terminal, else JSON), text or json",
     "auto|text|json"},
    {"file", SettingKind::kFiles, "", "applications to deploy once it is up; several with commas between them", "",
     "-f"},
    {"detach", SettingKind::kSwitch, "false", "return as soon as it is ready", "", "-d"},
    {"limits.connections", SettingKind::kCount, "20000", "client connections at once", ""},
    {"limits.connections_per_address", SettingKind::kCount, "0", "... of one client address; 0 is no bound", ""},
    {"limits.streams", SettingKind::kCount, "256", "HTTP/2 streams at once on one connection", ""},
    {"limits.head_bytes", SettingKind::kBytes, "64KiB", "head of a request, at most 64KiB", ""},
    {"limits.head_fields", SettingKind::kCount, "100", "fields of a head, at most 100", ""},
    {"limits.url_bytes", SettingKind::kBytes, "16KiB", "target of a request", ""},
    {"limits.body_bytes", SettingKind::kBytes, "0", "body of a request (bodies are streamed); 0 is no bound", ""},
    {"limits.head_time_s", SettingKind::kSeconds, "10", "from a head's first byte to its last", ""},
    {"limits.body_time_s", SettingKind::kSeconds, "30", "what a body may take before it must keep up with body_rate",
     ""},
    {"limits.body_rate", SettingKind::kBytes, "500", "bytes per second of a request's body; 0 is no bound", ""},
    {"limits.send_time_s", SettingKind::kSeconds, "60", "span in which a client must take send_rate of its reply", ""},
    {"limits.send_rate", SettingKind::kBytes, "500",
     "bytes per second of a reply that a client must take; 0 is no bound", ""},
    {"limits.idle_s", SettingKind::kSeconds, "75", "a connection without a request", ""},
    {"limits.tunnel_idle_s", SettingKind::kSeconds, "300", "an upgraded connection (WebSocket) without a byte", ""},
    {"limits.memory_bytes", SettingKind::kBytes, "1GiB",
     "buffers of all connections and queues together; 0 is no bound", ""},
};

std::vector<std::string> split_files(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const auto name = text.substr(0, text.find(','));
    if (!name.empty()) out.emplace_back(name);
    text.remove_prefix(std::min(name.size() + 1, text.size()));
  }
  return out;
}

// "512", "64KiB", "1.5GiB"; nullopt for what is no size.
std::optional<double> bytes_of(std::string_view text) {
  double number = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (ec != std::errc{} || !(number >= 0) || number > 1e15) return std::nullopt;
  const std::string_view unit(end, text.data() + text.size());
  double factor = 1;
  if (unit == "KiB")
    factor = 1024;
  else if (unit == "MiB")
    factor = 1024.0 * 1024;
  else if (unit == "GiB")
    factor = 1024.0 * 1024 * 1024;
  else if (!unit.empty())
    return std::nullopt;
  return std::floor(number * factor);
}

constexpr std::string_view kLimitGroup = "limits.";

bool address_ok(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  int port = -1;
  const auto digits = text.substr(colon + 1);
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  return ec == std::errc{} && end == digits.data() + digits.size() && port >= 0 && port <= 65535;
}

std::string wrong(const SettingRow& row, const std::string& value) {
  double number = 0;
  const auto [end, ec] = std::from_chars(value.data(), value.data() + value.size(), number);
  const bool numeric = ec == std::errc{} && end == value.data() + value.size();
  const bool whole = numeric && number >= 0 && number <= 100000 && number == static_cast<int>(number);
  switch (row.kind) {
    case SettingKind::kText:
    case SettingKind::kPath:
    case SettingKind::kFiles: return {};
    case SettingKind::kAddress: return address_ok(value) ? "" : "is no HOST:PORT, such as 127.0.0.1:8000";
    case SettingKind::kNetworks: {
      const auto sources = proxy::TrustedSources::parse(value);
      return sources ? "" : sources.error().message;
    }
    case SettingKind::kCount: return whole ? "" : "is no whole number from 0 to 100000";
    case SettingKind::kBytes: return bytes_of(value) ? "" : "is no size, such as 500, 64KiB, 10MiB or 1GiB";
    case SettingKind::kSeconds:
      return numeric && number >= 0 && number <= 86400.0 * 365 ? "" : "is no number of seconds";
    case SettingKind::kSwitch: return value == "true" || value == "false" ? "" : "is neither true nor false";
    case SettingKind::kChoice:
      return fmt::format("|{}|", row.choices).find("|" + value + "|") != std::string::npos
                 ? ""
                 : fmt::format("is none of {}", row.choices);
  }
  return {};
}

std::string default_data_dir(Getenv getenv) {
  if (const char* x = getenv("XDG_DATA_HOME"); x && *x) return std::string(x) + "/colony";
  if (const char* home = getenv("HOME"); home && *home) return std::string(home) + "/.local/share/colony";
  return "/var/lib/colony";
}

std::string host_name() {
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  return *name ? name : "node-1";
}

using Origins = std::map<std::string, Config::Origin, std::less<>>;

Result<Origins> read_config_file(const std::string& path, std::vector<std::string>& problems) {
  Origins out;
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(invalid_argument(fmt::format("--config {}: cannot be read", path)));
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  auto words =
      parse_settings({text, path.ends_with(".json") ? SpecFormat::kJson : SpecFormat::kYaml, path, ModelPaths::kAny});
  if (!words) return fail(to_error(words.error()));
  for (const auto& w : *words) {
    if (std::none_of(std::begin(kRows), std::end(kRows), [&](const auto& r) { return r.key == w.key; })) {
      std::string known;
      for (const auto& r : kRows) known += (known.empty() ? "" : ", ") + std::string(r.key);
      problems.push_back(fmt::format("{}:{}: {}: unknown key; there are {}", path, w.line, w.key, known));
    }
    out[w.key] = {w.value, fmt::format("{}:{}", path, w.line)};
  }
  return out;
}

}  // namespace

std::span<const SettingRow> setting_rows() { return kRows; }

std::string flag_of(const SettingRow& row) {
  std::string flag = "--" + std::string(row.key);
  std::replace_if(flag.begin(), flag.end(), [](char c) { return c == '_' || c == '.'; }, '-');
  return flag;
}

std::string variable_of(const SettingRow& row) {
  std::string name = "COLONY_" + std::string(row.key);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return c == '.' ? '_' : static_cast<char>(std::toupper(c)); });
  return name;
}

bool is_loopback(std::string_view address) {
  const auto host = address.substr(0, address.rfind(':'));
  return host.starts_with("127.") || host == "localhost" || host == "[::1]";
}

Result<Config> resolve(const std::map<std::string, std::string>& flags, const std::string& config_file, Getenv getenv) {
  Origins from_file;
  std::vector<std::string> problems;
  if (!config_file.empty()) {
    TRY(from_file, read_config_file(config_file, problems));
  }
  Config c;
  for (const auto& row : kRows) {
    Config::Origin o{std::string(row.fallback), "default"};
    if (row.key == "data_dir") o.value = default_data_dir(getenv);
    if (row.key == "node") o.value = host_name();
    const auto variable = variable_of(row);
    if (auto it = from_file.find(row.key); it != from_file.end()) o = it->second;
    if (const char* v = getenv(variable.c_str()); v && *v) o = {v, variable};
    if (auto it = flags.find(std::string(row.key)); it != flags.end()) o = {it->second, "flag"};
    if (row.kind == SettingKind::kAddress && o.value.starts_with(':')) o.value = "127.0.0.1" + o.value;
    if (row.kind == SettingKind::kPath && !o.value.empty())
      o.value = std::filesystem::absolute(o.value).lexically_normal().string();
    if (row.kind == SettingKind::kFiles) {
      std::string all;
      for (const auto& name : split_files(o.value))
        all += (all.empty() ? "" : ",") +
               (name == "-" ? name : std::filesystem::absolute(name).lexically_normal().string());
      o.value = all;
    }
    if (auto w = wrong(row, o.value); !w.empty())
      problems.push_back(
          fmt::format("{} (from {}): '{}' {}", row.key, o.source == "flag" ? flag_of(row) : o.source, o.value, w));
    c.origins.emplace(row.key, std::move(o));
  }
  auto value = [&](std::string_view key) -> const std::string& { return c.origins.find(key)->second.value; };
  if (problems.empty() && !is_loopback(value("control")) && value("token_file").empty())
    problems.push_back(fmt::format(
        "control (from {}): '{}' can be reached from other machines; give --token-file FILE, or listen on 127.0.0.1",
        c.origins.find("control")->second.source, value("control")));
  const auto needs = [&](std::string_view key, std::string_view other) {
    if (!value(key).empty() && value(other).empty())
      problems.push_back(
          fmt::format("{} (from {}) needs {} beside it", key, c.origins.find(key)->second.source, other));
  };
  needs("tls_cert", "tls_key");
  needs("tls_key", "tls_cert");
  needs("tls_client_ca", "tls_cert");
  for (const auto& row : kRows) {
    if (!row.key.starts_with(kLimitGroup)) continue;
    const Config::Origin& o = c.origins.find(row.key)->second;
    const std::string key(row.key.substr(kLimitGroup.size()));
    const double number = bytes_of(o.value).value_or(0);  // counts and seconds are plain numbers
    c.limits[key] = number;
    const double most = key == "head_bytes" ? http::kMaxHeadBytes : key == "head_fields" ? http::kMaxFields : 1e15;
    const bool zero_is_none = key == "connections_per_address" || key == "body_bytes" || key == "memory_bytes" ||
                              key == "body_rate" || key == "send_rate";
    if (number > most)
      problems.push_back(fmt::format("{} (from {}): '{}' is above {}", row.key, o.source, o.value, most));
    if (number == 0 && !zero_is_none)
      problems.push_back(fmt::format("{} (from {}): '{}' must be above 0", row.key, o.source, o.value));
  }
  if (!problems.empty()) {
    std::string all;
    for (const auto& p : problems) all += (all.empty() ? "" : "\n") + p;
    return fail(invalid_argument(all, "bad_config"));
  }
  c.http = value("http");
  c.control = value("control");
  c.data_dir = value("data_dir");
  c.token_file = value("token_file");
  c.tls = {value("tls_cert"), value("tls_key"), value("tls_client_ca")};
  c.processes = value("processes") == "true";
  c.trusted_proxies = value("trusted_proxies");
  c.loops = std::stoi(value("loops"));
  c.cpus = std::stod(value("cpus"));
  c.node = value("node");
  c.orphan_timeout = from_seconds(std::stod(value("orphan_timeout_s")));
  c.drain_timeout = from_seconds(std::stod(value("drain_timeout_s")));
  c.log_level = value("log_level");
  c.log_format = value("log_format");
  c.detach = value("detach") == "true";
  c.files = split_files(value("file"));
  if (!c.token_file.empty()) {
    std::ifstream in(c.token_file);
    if (!in || !std::getline(in, c.token) || c.token.size() < 16)
      return fail(
          invalid_argument(fmt::format("token_file {}: its first line must be a token of at least 16 characters; "
                                       "make one: openssl rand -hex 32 > FILE",
                                       c.token_file)));
  }
  return c;
}

std::string print_config(const Config& config, bool json) {
  if (json) {
    nlohmann::json out;
    for (const auto& [key, o] : config.origins) out[key] = {{"value", o.value}, {"source", o.source}};
    return out.dump(2) + "\n";
  }
  std::string out;
  for (const auto& row : kRows) {
    const auto& o = config.origins.find(row.key)->second;
    out +=
        fmt::format("{:<32} {:<40} # {}\n", fmt::format("{}:", row.key), o.value.empty() ? "\"\"" : o.value, o.source);
  }
  return out;
}

}  // namespace colony::app
