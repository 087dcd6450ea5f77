// Bad documents: each row is a text and what its message must say. The first row shows a message whole.
#include <gtest/gtest.h>

#include "domain/spec_parse.h"

namespace colony {
namespace {

std::string complaint(std::string_view text, SpecFormat format = SpecFormat::kYaml) {
  auto apps = parse_document(SpecSource{text, format, "app.yaml"});
  return apps ? "accepted" : to_error(apps.error()).message;
}

struct Row {
  std::string text, message;
};

// `line` stands within the one deployment of a document that is otherwise good.
Row in_deployment(std::string line, std::string message) {
  return {"applications:\n- name: a\n  deployments:\n  - name: d\n    runtime: echo\n    " + line + "\n",
          std::move(message)};
}
Row in_onnx(std::string line, std::string message) {
  return {"applications:\n- name: a\n  deployments:\n  - name: d\n    " + line + "\n", std::move(message)};
}
Row in_app(std::string line, std::string message) {
  return {"applications:\n- name: a\n  deployments: [{name: d, runtime: echo}]\n  " + line + "\n", std::move(message)};
}

const std::vector<Row> kRows = {
    in_deployment("num_replica: 2",
                  "app.yaml:6:5: applications[0].deployments[0].num_replica: unknown key; did you mean num_replicas?"),
    in_deployment("replicas: 2", "did you mean num_replicas?"),
    in_deployment("Num-Replicas: 2", "did you mean num_replicas?"),
    in_deployment("zzz: 1", "unknown key; a deployment has: name, runtime, model"),
    in_deployment("num_replicas: -1", "num_replicas: '-1' must be from 0 to 10000"),
    in_deployment("num_replicas: 1.5", "'1.5' must be an integer from 0 to 10000"),
    in_deployment("num_replicas: auto", "arrives with the autoscaler; give a number"),
    in_deployment("num_replicas: many", "expected an integer from 0 to 10000, got a string"),
    in_deployment("num_replicas: null", "got null"),
    in_deployment("num_replicas: true", "got a boolean"),
    in_deployment("num_replicas: [1]", "got a list"),
    in_deployment("num_replicas: {a: 1}", "got a mapping"),
    in_deployment("num_replicas: 99999999999999999999", "must be an integer from 0 to 10000"),
    in_deployment("max_ongoing_requests: 0", "must be from 1 to 100000"),
    in_deployment("max_queued_requests: -2", "must be from -1 to 1000000"),
    in_deployment("request_timeout_s: 0", "must be from 0.001 to 86400"),
    in_deployment("request_timeout_s: 10s", "expected a number from 0.001 to 86400, got a string"),
    in_deployment("request_timeout_s: .inf", "must be from"),
    in_deployment("request_timeout_s: .nan", "must be from"),
    in_deployment("health_check_period_s: 0", "must be from 0.1"),
    in_deployment("health_check_timeout_s: x", "expected a number"),
    in_deployment("graceful_shutdown_timeout_s: -1", "must be from 0 to"),
    in_deployment("graceful_shutdown_wait_loop_s: -1", "must be from 0 to"),
    in_deployment("rolling_update_percentage: 0", "above 0 and at most 1"),
    in_deployment("rolling_update_percentage: 20", "must be from 0 to 1"),
    in_deployment("ray_actor_options: null", "expected a mapping, got null"),
    in_deployment("max_replicas_per_node: null", "expected an integer from 0 to 10000, got null"),
    in_deployment("ray_actor_options: 3", "expected a mapping, got an integer"),
    in_deployment("ray_actor_options: {num_cpu: 1}", "ray_actor_options.num_cpu: unknown key; did you mean num_cpus?"),
    in_deployment("ray_actor_options: {num_gpus: 1.5}", "must be a whole number when it is above 1"),
    in_deployment("ray_actor_options: {memory: 1GiB}", "expected an integer"),
    in_deployment("ray_actor_options: {resources: {a b: 1}}", "the name must begin"),
    in_deployment("ray_actor_options: {runtime_env: {pip: [x]}}", "is not supported yet"),
    in_deployment("ray_actor_options: {accelerator_type: H200}", "'H200' is not supported yet; name the resource"),
    in_deployment("autoscaling_config: {min_replicas: 1}", "is not supported yet; give num_replicas as a number"),
    in_deployment("batching: {max_batch_size: 8}", "is not supported yet"),
    in_deployment("placement_group_strategy: PACK", "'PACK' is not supported yet"),
    in_deployment("request_router_config: {}", "is not supported yet"),
    in_deployment("logging_config: {}", "is not supported yet"),
    in_deployment("model: /m.onnx", "runtime echo takes no model"),
    in_deployment("models: [{name: m, path: /m}]", "runtime echo takes no model"),
    in_deployment("transform: filetype", "a transform needs a model"),
    in_deployment("name: e", "is given twice (first in line 4)"),
    in_deployment("user_config: *missing", "not YAML"),
    in_onnx("runtime: onnx", "runtime onnx needs `model` or `models`"),
    in_onnx("runtime: python", "'python' is no runtime; there are: echo, onnx, external"),
    in_onnx("num_replicas: 1", "needs `model` (a path), `models`, `backend`, or `runtime: echo`"),
    in_onnx("runtime: external", "runtime external needs `backend`"),
    in_onnx("backend: {}", "backend.addresses: is missing; a backend needs it"),
    in_onnx("backend: {addresses: []}", "must hold an address"),
    in_onnx("backend: {address: '127.0.0.1:1'}", "backend.address: unknown key; did you mean addresses?"),
    in_onnx("backend: {addresses: '127.0.0.1:1'}", "expected a list, got a string"),
    in_onnx(
        "backend: {addresses: [example.com:80]}",
        "addresses[0]: 'example.com:80' has a host that is no numeric address (names are not looked up); right are"),
    in_onnx("backend: {addresses: [127.0.0.1]}", "'127.0.0.1' has no port"),
    in_onnx("backend: {addresses: ['127.0.0.1:0']}", "has no port from 1 to 65535"),
    in_onnx("backend: {addresses: ['127.0.0.1:65536']}", "has no port from 1 to 65535"),
    in_onnx("backend: {addresses: ['[::x]:1']}", "holds no IPv6 address in its brackets"),
    in_onnx("backend: {addresses: ['unix:a.sock']}", "needs the socket's absolute path"),
    in_onnx("backend: {addresses: ['127.0.0.1:1', '127.0.0.1:1']}", "'127.0.0.1:1' is addresses[0] already"),
    in_onnx("backend: {addresses: ['127.0.0.1:1'], protocol: grpc}", "'grpc' is no protocol; there are: http1, h2c"),
    in_onnx("backend: {addresses: ['127.0.0.1:1'], health_path: healthz}", "must begin with '/'"),
    in_onnx("{backend: {addresses: ['127.0.0.1:1']}, num_replicas: 2}", "not YAML"),
    in_deployment("backend: {addresses: ['127.0.0.1:1']}", "runtime echo takes no backend"),
    in_deployment("grpc_services: [a.B]", "grpc_services: needs runtime external"),
    {"applications: [{name: a, deployments: [{name: d, runtime: external, num_replicas: 2, backend: {addresses: "
     "['127.0.0.1:1']}}]}]",
     "num_replicas: '2' an external deployment has one replica per address, here 1; leave it out"},
    {"applications: [{name: a, deployments: [{name: d, model: /m, runtime: external, backend: {addresses: "
     "['127.0.0.1:1']}}]}]",
     "runtime external takes no model"},
    {"applications: [{name: a, deployments: [{name: d, grpc_services: [a/B], backend: {addresses: ['127.0.0.1:1']}}]}]",
     "grpc_services[0]: 'a/B' must be a full name as in the .proto file: package.Service"},
    {"applications: [{name: a, deployments: [{name: d, grpc_services: [grpc.health.v1.Health], backend: {addresses: "
     "['127.0.0.1:1']}}]}]",
     "is answered by the proxy itself; reach yours by `hosts`"},
    in_onnx("model: ''", "must not be empty"),
    in_onnx("model: [a]", "expected a mapping, got a list"),
    in_onnx("model: {version: 2}", "model.path: is missing; a model needs it"),
    in_onnx("model: {path: /m, name: x}", "`model` answers under the application's name"),
    in_onnx("model: {path: /m, version: ''}", "must not be empty"),
    in_onnx("model: {path: /m, version: 1.5}", "must be an integer"),
    in_onnx("model: {path: /m, version: -1}", "must be from 0"),
    in_onnx("model: {path: /m, intra_op: 0}", "must be from 1 to 1024"),
    in_onnx("model: {path: /m, graph_level: most}", "must be one of disabled, basic, extended, all"),
    in_onnx("model: {path: /m, providers: []}", "must name at least one provider"),
    in_onnx("model: {path: /m, providers: cuda}", "expected a list, got a string"),
    in_onnx("model: {path: /m, warmup: 1}", "expected true or false, got an integer"),
    in_onnx("model: {path: /m, warmup: yes}", "expected true or false, got a string"),
    in_onnx("model: {path: \"a\\0b\"}", "holds a NUL byte"),
    in_onnx("models: {m: /m}", "expected a list, got a mapping"),
    in_onnx("models: [/m]", "expected a mapping with `name` and `path`, got a string"),
    in_onnx("models: [{path: /m}]", "models[0].name: is missing"),
    in_onnx("models: [{name: a/b, path: /m}]", "must begin with a letter or digit"),
    in_onnx("models: [{name: m, path: /a}, {name: m, path: /b}]", "models[1]: 'm' is the name of models[0] already"),
    in_onnx("{model: /m, models: [{name: m, path: /m}]}", "not YAML"),
    in_app("route_prefix: x", "must begin with '/'"),
    in_app("route_prefix: /x/", "must not end with '/'"),
    in_app("route_prefix: /x//y", "empty segment"),
    in_app("route_prefix: /x?y", "must be a plain path"),
    in_app("route_prefix: /a/../b", "'.' or '..'"),
    in_app("route_prefix: /-/x", "is reserved"),
    in_app("hosts: a.example", "expected a list, got a string"),
    in_app("hosts: ['a.example:80']", "hosts[0]: 'a.example:80' must be a host alone, without a port"),
    in_app("hosts: ['*.example']", "without wildcards"),
    in_app("host: 0.0.0.0", "names of an application go to `hosts`"),
    in_app("route_prefix: 7", "expected a string, got an integer; put it in quotes"),
    in_app("import_path: my.module:app", "'my.module:app' cannot be imported: there is no python runtime yet"),
    in_app("import_path: colony.builtin:echo", "has one deployment, named echo"),
    in_app("runtime_env: {pip: [torch]}", "is not supported yet; replicas run in the server's own environment"),
    in_app("args: {a: 1}", "is not supported yet"),
    in_app("external_scaler_enabled: true", "is not supported yet"),
    in_app("route: /x", "did you mean route_prefix?"),
    {"", "the document is empty"},
    {"[]", "expected a mapping with `applications`, got a list"},
    {"hello", "got a string"},
    {"{}", "applications: is missing"},
    {"application: []", "did you mean applications?"},
    {"applications: {}", "expected a list of applications, got a mapping"},
    {"applications: [7]", "applications[0]: '7' expected a mapping, got an integer"},
    {"applications: [{}]", "applications[0].name: is missing"},
    {"applications: [{name: a}]", "applications[0].deployments: is missing"},
    {"applications: [{name: a, import_path: null}]", "applications[0].deployments: is missing"},
    {"applications: [{name: a, deployments: []}]", "must hold at least one deployment"},
    {"applications: [{name: a, deployments: d}]", "expected a list, got a string"},
    {"applications: [{name: A, deployments: [{name: d, runtime: echo}]}]", "'A' must begin with a-z or 0-9"},
    {"applications: [{name: '', deployments: [{name: d, runtime: echo}]}]", "must not be empty"},
    {"applications: [{name: " + std::string(64, 'a') + ", deployments: [{name: d, runtime: echo}]}]",
     "has 64 characters; at most 63"},
    {"applications: [{name: a, deployments: [{name: " + std::string(49, 'b') + ", runtime: echo}]}]",
     "has 49 characters; at most 48"},
    {"applications: [{name: 1, deployments: [{name: d, runtime: echo}]}]", "got an integer; put it in quotes"},
    {"applications: [{name: a, deployments: [{name: d/e, runtime: echo}]}]", "'d/e' must begin"},
    {"applications: [{name: a, deployments: [{name: d, runtime: echo}, {name: d, runtime: echo}]}]",
     "'d' is the name of deployments[0] already"},
    {"applications: [{name: a, deployments: [{name: d, runtime: echo}]}, {name: a, deployments: [{name: d, runtime: "
     "echo}]}]",
     "'a' is the name of applications[0] already"},
    {"applications: [{name: a, route_prefix: /x, deployments: [{name: d, runtime: echo}]}, {name: b, route_prefix: /x, "
     "deployments: [{name: d, runtime: echo}]}]",
     "'/x' is the route_prefix of applications[0] already"},
    {"applications: [{name: a, deployments: [{name: d, runtime: echo}, {name: e, runtime: echo}]}, {name: a.e, "
     "deployments: [{name: d, runtime: echo}]}]",
     "'a.e' is the model name of applications[0] already"},
    {"http_options: {port: 80}\napplications: []",
     "http_options: is not supported yet; leave it out: addresses are set"},
    {"applications: []\n---\napplications: []", "a second document begins here"},
    {"applications: [", "not YAML"},
    {"applications:\n- name: \xed", "app.yaml:2:1: this line is not UTF-8; save the file as UTF-8"},
    {"\xff\xfe"
     "a: b",
     "app.yaml:1:1: this line is not UTF-8"},
    {"\tapplications: []", "not YAML"},
    {"? [a]\n: b", "a key must be a plain word"},
    {"applications: !!binary aGk=", "is not understood"},
    {"applications: &a [*a]", "an alias stands inside the value that it names"},
    {"a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d "
     "[*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e]",
     "more than 200000 values"},
    {"a: " + std::string(100, '[') + std::string(100, ']'), "nested deeper than 64 levels"},
    {"applications: []\nx: " + std::string(kMaxSpecBytes, 'y'), "at most 1048576 are read"},
};

TEST(BadSpecs, EachGetsItsMessage) {
  for (const Row& row : kRows) {
    const std::string message = complaint(row.text);
    EXPECT_NE(message.find(row.message), std::string::npos)
        << row.text.substr(0, 200) << "\n  said: " << message << "\n  not:  " << row.message;
  }
  EXPECT_GE(kRows.size(), 100U);
}

TEST(BadSpecs, AllProblemsComeAtOnceInTheOrderOfTheText) {
  const std::string message = complaint(R"(applications:
- name: a
  deployments:
  - name: d
    runtime: echo
    num_replica: 1
    max_ongoing_requests: none
  - name: e
    model: {path: /m, intraop: 1}
- name: B
  deployments: [{name: x, runtime: echo}]
)");
  EXPECT_EQ(message,
            "app.yaml:6:5: applications[0].deployments[0].num_replica: unknown key; did you mean num_replicas?\n"
            "app.yaml:7:27: applications[0].deployments[0].max_ongoing_requests: 'none' expected an integer from 1 to "
            "100000, got a string\n"
            "app.yaml:9:23: applications[0].deployments[1].model.intraop: unknown key; did you mean intra_op?\n"
            "app.yaml:10:9: applications[1].name: 'B' must begin with a-z or 0-9 and hold only a-z, 0-9, '-', '_' and "
            "'.'");
}

TEST(BadSpecs, TheNumberOfMessagesIsBounded) {
  std::string text = "applications: [{name: a, deployments: [{name: d, runtime: echo}]";
  for (int i = 0; i < 500; ++i) text += ", k" + std::to_string(i) + ": 1";
  auto apps = parse_document(SpecSource{text + "}]"});
  ASSERT_FALSE(apps.has_value());
  EXPECT_EQ(apps.error().size(), 101U);
  EXPECT_NE(to_error(apps.error()).message.find("and 400 more problems"), std::string::npos);
}

TEST(BadSpecs, JsonKeepsItsLinesAndColumns) {
  EXPECT_EQ(
      complaint("{\"applications\": [\n  {\"name\": \"a\",\n   \"deployments\": [{\"name\":\"d\",\"runtime\":\"echo\","
                "\n \"num_replicas\" : 1.5}]}]}",
                SpecFormat::kJson),
      "app.yaml:4:19: applications[0].deployments[0].num_replicas: '1.5' must be an integer from 0 to 10000");
  for (const char* text : {"", "{", "{\"a\":1,}", "[1 2]", "{'a':1}", "nul", "\"\\ud800\"", "\"\xff\"", "{} {}"})
    EXPECT_NE(complaint(text, SpecFormat::kJson).find("not JSON"), std::string::npos) << text;
  EXPECT_NE(complaint("{\"applications\":[],\"applications\":[]}", SpecFormat::kJson).find("is given twice"),
            std::string::npos);
}

TEST(BadSpecs, TheNameInThePathMustAgree) {
  const std::string spec = "{\"name\":\"a\",\"deployments\":[{\"name\":\"d\",\"runtime\":\"echo\"}]}";
  const SpecSource source{spec, SpecFormat::kJson};
  EXPECT_TRUE(parse_app(source, "a").has_value());
  auto other = parse_app(source, "b");
  ASSERT_FALSE(other.has_value());
  EXPECT_EQ(other.error()[0].message, "does not agree with the name in the path, b");
  auto bad =
      parse_app(SpecSource{"{\"deployments\":[{\"name\":\"d\",\"runtime\":\"echo\"}]}", SpecFormat::kJson}, "B C");
  ASSERT_FALSE(bad.has_value());
}

TEST(BadSpecs, ARelativePathIsRefusedWhereItHasNoMeaning) {
  const std::string spec = "{name: a, deployments: [{name: d, model: m.onnx}]}";
  EXPECT_TRUE(parse_app(SpecSource{spec}).has_value());
  auto app = parse_app(SpecSource{spec, SpecFormat::kYaml, "", ModelPaths::kAbsolute});
  ASSERT_FALSE(app.has_value());
  EXPECT_NE(to_error(app.error()).message.find("'m.onnx' is a relative path"), std::string::npos);
}

}  // namespace
}  // namespace colony
