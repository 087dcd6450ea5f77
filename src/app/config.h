// The settings of `colony up`, from four places: flag, COLONY_... variable, configuration file, default; the first that has
// one wins, and --print-config shows which. One table (config.cc) makes the flags, the variables and the file's keys.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "transport/tls/context.h"

namespace colony::app {

enum class SettingKind : uint8_t {
  kText,
  kAddress,
  kNetworks,
  kPath,
  kCount,
  kBytes,
  kSeconds,
  kSwitch,
  kChoice,
  kFiles
};

struct SettingRow {
  // In the file: "data_dir"; the flag is --data-dir, the variable COLONY_DATA_DIR. "limits.idle_s" is the key idle_s of the
  // group `limits`, --limits-idle-s and COLONY_LIMITS_IDLE_S.
  std::string_view key;
  SettingKind kind;
  std::string_view fallback;  // as text
  std::string_view help;
  std::string_view choices;      // kChoice: "a|b|c"
  std::string_view letter = {};  // of the flag: "-d"; a setting with a letter is one of `colony up` alone
};
std::span<const SettingRow> setting_rows();
std::string flag_of(const SettingRow& row);      // "--data-dir"
std::string variable_of(const SettingRow& row);  // "COLONY_DATA_DIR"

struct Config {
  std::string http, control, data_dir, token_file;
  tls::Files tls;               // of the request port; empty: plain HTTP
  std::string trusted_proxies;  // as proxy::TrustedSources::parse() takes them
  bool processes = false;
  int loops = 0;  // of the proxy; 0: one per core
  Duration orphan_timeout = 600s;
  std::string log_level, log_format;  // auto: text on a tty, else JSON
  std::string node;                   // id of this node; default: the host's name
  double cpus = 0;                    // capacity for num_cpus; 0: 8 per core
  Duration drain_timeout = 30s;       // Ctrl-C: how long running requests may take to end
  std::string token;                  // read from token_file
  bool detach = false;
  std::vector<std::string> files;        // applications to deploy once it is up; "-" is stdin
  std::map<std::string, double> limits;  // of the proxy, by key without "limits."; see app/limits.h

  struct Origin {
    std::string value, source;  // source: "flag", "COLONY_HTTP", "colony.yaml:3", "default"
  };
  std::map<std::string, Origin, std::less<>> origins;  // by key
};

using Getenv = char* (*)(const char*);
// `flags`: key -> text, only those that were given. kInvalidArgument names the setting, where it came from, its value and
// what would be right; all problems at once.
Result<Config> resolve(const std::map<std::string, std::string>& flags, const std::string& config_file, Getenv getenv);
std::string print_config(const Config& config, bool json);

// Is this address on this machine alone?
bool is_loopback(std::string_view address);

}  // namespace colony::app
