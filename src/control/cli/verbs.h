// What the CLI can do against a running Colony: one function per verb, each in the file of its name. They print for a
// person (or JSON with Common::json) and return the process's exit code: 0 fine, 2 the user's mistake, 3 not found,
// 4 not reachable, 1 anything else. Flags are declared in bin/main.cc; `up` and `run` are in app/.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "control/cli/control_client.h"
#include "domain/app_spec.h"

namespace colony::cli {

struct Common {
  std::string address, token_file;
  bool json = false;
};

struct ApplyOptions {
  std::vector<std::string> files;  // "-" is stdin
  bool dry_run = false;
  bool wait = true;
  double timeout_s = 600;
};
int apply(const Common& common, const ApplyOptions& options);

int status(const Common& common, const std::string& app);

struct DescribeOptions {
  std::string app;
  bool yaml = false;
};
int describe(const Common& common, const DescribeOptions& options);

struct LogsOptions {
  std::string app;
  std::string replica;
  int lines = 100;
  bool follow = false;
};
int logs(const Common& common, const LogsOptions& options);

struct ScaleOptions {
  std::string target;  // APP/DEPLOYMENT, or APP when it has one deployment
  int replicas = 1;
  bool wait = true;
  double timeout_s = 600;
};
int scale(const Common& common, const ScaleOptions& options);

struct DeleteOptions {
  std::string app;
  bool wait = true;
  double timeout_s = 120;
};
int remove(const Common& common, const DeleteOptions& options);

struct InferOptions {
  std::string target;            // APP, or APP.DEPLOYMENT, or a model's own name
  std::string file;              // a file of bytes for the app's route, or one .npy for the model's only input
  std::string json;              // an OIP body ({"inputs":[...]}) or any JSON for the app's route
  std::vector<std::string> npy;  // NAME=FILE.npy
  double timeout_s = 60;
};
int infer(const Common& common, const InferOptions& options);

int down(const Common& common);
// A new proxy in the place of the one that runs; returns when that has left the table.
int restart_proxy(const Common& common, double timeout_s);
int schema();
struct DoctorOptions {
  std::string data_dir, http, control;   // as `colony up` would use them
  std::vector<std::string> onnx_places;  // where a replica will look for ONNX Runtime, in order
};
int doctor(const Common& common, const DoctorOptions& options);

// Shared by the verbs.
int finish(const Error& error);  // prints one line to stderr, returns the exit code
// Waits, with live progress, until the app is RUNNING at `revision` or later (or gone, for until_gone), or says why not.
Result<void> wait_for(ControlClient& client, const std::string& app, uint64_t revision, bool until_gone,
                      double timeout_s);
// Reads spec files: every problem of every file at once, model paths made absolute.
Result<std::vector<AppSpec>> read_specs(const std::vector<std::string>& files);
// An application around one model file: named after it, served at /NAME.
Result<AppSpec> app_of_model(const std::string& path);

}  // namespace colony::cli
