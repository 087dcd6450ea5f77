// The rules around the model, with the demo's own files; that labels equal the magika package's is
// tests/e2e/test_filetype_labels.py.
#include "request/runtime/transform/filetype/filetype.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "request/runtime/transform/filetype/config.h"

namespace colony::runtime::filetype {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

std::string folder() {
  const char* root = std::getenv("COLONY_SOURCE_DIR");
  return (root ? std::string(root) + "/" : std::string()) + "examples/filetype";
}

std::unique_ptr<Transform> demo() {
  auto t = make_filetype(folder() + "/model.onnx");
  EXPECT_TRUE(t) << t.error().message;
  return t ? std::move(*t) : nullptr;
}

std::vector<int32_t> tokens(const Tensor& t) {
  std::vector<int32_t> out(t.data.size() / 4);
  std::memcpy(out.data(), t.data.data(), t.data.size());
  return out;
}

std::string label_without_model(const Transform& t, std::string_view body) {
  auto tensors = t.to_tensors(body, "");
  EXPECT_TRUE(tensors);
  EXPECT_TRUE(tensors->empty());
  return t.to_reply({}, body)->data;
}

InferReply scores(size_t best, float score) {
  std::vector<float> values(214, 0.0F);
  values[best] = score;
  std::string data(values.size() * 4, '\0');
  std::memcpy(data.data(), values.data(), data.size());
  InferReply reply;
  reply.outputs.push_back(own_tensor("target_label", DataType::kFp32, {1, 214}, std::move(data)));
  return reply;
}

TEST(Filetype, ShortFilesAreAnsweredWithoutTheModel) {
  const auto t = demo();
  ASSERT_TRUE(t);
  EXPECT_THAT(label_without_model(*t, ""), HasSubstr(R"("label":"empty","score":1.0000)"));
  EXPECT_THAT(label_without_model(*t, "hi"), HasSubstr(R"("label":"txt")"));
  EXPECT_THAT(label_without_model(*t, "\xff\xfe"), HasSubstr(R"("label":"unknown")"));
  EXPECT_THAT(label_without_model(*t, "      \n\n\n hi    "), HasSubstr(R"("label":"txt")"));
  EXPECT_THAT(label_without_model(*t, std::string(9000, ' ') + "int main() { return 0; }"),
              HasSubstr(R"("label":"txt")"));
}

TEST(Filetype, TheTensorHoldsStrippedBeginningAndEndWithPadding) {
  const auto t = demo();
  ASSERT_TRUE(t);
  const auto tensors = t->to_tensors("  \t\v\f\r\n12345678 \n", "");
  ASSERT_TRUE(tensors);
  ASSERT_EQ(tensors->size(), 1u);
  EXPECT_EQ(tensors->front().name, "bytes");
  EXPECT_EQ(tensors->front().shape, (std::vector<int64_t>{1, 2048}));
  const auto v = tokens(tensors->front());
  EXPECT_EQ(v[0], '1');
  EXPECT_EQ(v[7], '8');
  EXPECT_EQ(v[8], ' ');  // only the beginning is stripped of the first half
  EXPECT_EQ(v[10], 256);
  EXPECT_EQ(v[1023], 256);
  EXPECT_EQ(v[1024], 256);
  EXPECT_EQ(v[2047], '8');
  EXPECT_EQ(v[2040], '1');
}

TEST(Filetype, LargeFilesGiveTheirFirstAndLastBlock) {
  const auto t = demo();
  ASSERT_TRUE(t);
  const std::string body = std::string(4096, 'a') + std::string(100000, 'b') + std::string(4096, 'c');
  const auto v = tokens(t->to_tensors(body, "")->front());
  EXPECT_EQ(v[0], 'a');
  EXPECT_EQ(v[1023], 'a');
  EXPECT_EQ(v[1024], 'c');
  EXPECT_EQ(v[2047], 'c');
}

TEST(Filetype, ALowScoreFallsBackToTxtOrUnknownByTheKindOfLabel) {
  const auto t = demo();
  ASSERT_TRUE(t);
  const auto config = read_config(folder());
  ASSERT_TRUE(config) << config.error().message;
  const auto index = [&](const char* label) {
    return static_cast<size_t>(std::ranges::find(config->labels, label) - config->labels.begin());
  };
  const std::string body = "0123456789";
  EXPECT_THAT(
      t->to_reply(scores(index("c"), 0.95F), body)->data,
      HasSubstr(R"({"label":"c","score":0.9500,"mime_type":"text/x-c","group":"code","description":"C source"})"));
  EXPECT_THAT(t->to_reply(scores(index("c"), 0.4F), body)->data, HasSubstr(R"("label":"txt","score":0.4000)"));
  EXPECT_THAT(t->to_reply(scores(index("png"), 0.4F), body)->data, HasSubstr(R"("label":"unknown")"));
  EXPECT_THAT(t->to_reply(scores(index("markdown"), 0.74F), body)->data, HasSubstr(R"("label":"txt")"));
  EXPECT_THAT(t->to_reply(scores(index("markdown"), 0.76F), body)->data, HasSubstr(R"("label":"markdown")"));
  EXPECT_THAT(t->to_reply(scores(index("randombytes"), 0.9F), body)->data, HasSubstr(R"("label":"unknown")"));
  EXPECT_THAT(t->to_reply(scores(index("randomtxt"), 0.9F), body)->data, HasSubstr(R"("label":"txt")"));
}

TEST(Filetype, ScoresOfAnotherModelAreRefused) {
  const auto t = demo();
  ASSERT_TRUE(t);
  InferReply reply;
  reply.outputs.push_back(own_tensor("y", DataType::kFp32, {1, 3}, std::string(12, '\0')));
  const auto answer = t->to_reply(reply, "0123456789");
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().message, HasSubstr("wants FP32 [1,214]"));
}

TEST(FiletypeConfig, NamesTheFileAndTheFieldThatIsWrong) {
  std::string pattern = (fs::temp_directory_path() / "colony-filetype-XXXXXX").string();
  ASSERT_NE(mkdtemp(pattern.data()), nullptr);
  const fs::path dir = pattern;
  const auto error = [&] {
    auto r = read_config(dir.string());
    return r ? std::string("no error") : r.error().message;
  };
  EXPECT_THAT(error(), testing::AllOf(HasSubstr("config.min.json"), HasSubstr("No such file")));
  std::ifstream from(folder() + "/config.min.json");
  const std::string good((std::istreambuf_iterator<char>(from)), {});
  std::ofstream(dir / "config.min.json") << good;
  EXPECT_THAT(error(), HasSubstr("content_types_kb.min.json"));
  fs::copy_file(folder() + "/content_types_kb.min.json", dir / "content_types_kb.min.json");
  EXPECT_EQ(error(), "no error");
  const auto changed = [&](const std::string& what, const std::string& by) {
    std::string text = good;
    text.replace(text.find(what), what.size(), by);
    std::ofstream(dir / "config.min.json", std::ios::trunc) << text;
    return error();
  };
  EXPECT_THAT(changed(R"("beg_size":1024)", R"("beg_size":"x")"),
              HasSubstr("'beg_size' is \"x\", expected a whole number"));
  EXPECT_THAT(changed(R"("mid_size":0)", R"("mid_size":1)"), HasSubstr("'mid_size' is 1"));
  EXPECT_THAT(changed(R"("3gp")", R"("no such")"), HasSubstr("says nothing about the label 'no such'"));
  EXPECT_THAT(changed(R"("crt":0.9)", R"("crt":"a")"), HasSubstr("'thresholds'"));
  EXPECT_THAT(changed("{", "["), HasSubstr("is not a JSON object"));
  fs::remove_all(dir);
}

}  // namespace
}  // namespace colony::runtime::filetype
