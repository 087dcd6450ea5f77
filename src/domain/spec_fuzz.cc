// Any bytes as a spec: no crash, no hang; and what is accepted survives being written and read again.
#include <cstdint>
#include <cstdlib>

#include "base/check.h"
#include "domain/spec_parse.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace colony;
  if (size == 0) return 0;
  const SpecFormat format = data[0] % 2 == 0 ? SpecFormat::kYaml : SpecFormat::kJson;
  const std::string text(data + 1, data + size);
  const SpecSource source{text, format, "f"};
  if (auto ray = parse_ray_document(source); !ray) CHECK(!ray.error().empty());
  auto apps = parse_document(source);
  if (!apps) {
    CHECK(!apps.error().empty());
    return 0;
  }
  const std::string yaml = to_yaml_text(*apps);
  auto again = parse_document(SpecSource{yaml, SpecFormat::kYaml, "again"});
  CHECK(again.has_value());
  CHECK(*again == *apps);
  for (const AppSpec& app : *apps) {
    const std::string json = to_json_text(app);
    auto one = parse_app(SpecSource{json, SpecFormat::kJson, "json"});
    CHECK(one.has_value());
    CHECK(*one == app);
  }
  return 0;
}
