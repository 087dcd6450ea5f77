// What is wrong with certificate files is said by setting, file and reason.
#include "transport/tls/context.h"

#include <gmock/gmock.h>

#include "tests/support/temp_dir.h"
#include "transport/tls/tls_test_support.h"

namespace colony::tls {
namespace {

using ::testing::HasSubstr;
using testing::Identity;
using testing::write_file;

struct Folder {
  colony::testing::TempDir dir;
  Identity authority{"authority"}, server{"server", &authority}, other{"other", &authority};
  Files files = testing::write_files(dir.path(), server);
  std::string error() {
    auto context = ServerContext::load(files);
    EXPECT_FALSE(context.has_value());
    if (context) return {};
    EXPECT_EQ(context.error().code, Code::kInvalidArgument);
    EXPECT_EQ(context.error().reason, "bad_certificate");
    EXPECT_THAT(context.error().message, ::testing::Not(HasSubstr("PRIVATE KEY")));
    return context.error().message;
  }
};

TEST(TlsContext, a_good_pair_says_whose_it_is_and_how_long_it_lasts) {
  Folder f;
  auto context = ServerContext::load(f.files);
  ASSERT_TRUE(context.has_value()) << context.error().message;
  EXPECT_EQ((*context)->subject(), "CN=server");
  EXPECT_FALSE((*context)->asks_clients());
  const auto left = (*context)->expires() - std::chrono::system_clock::now();
  EXPECT_GT(left, 23h);
  EXPECT_LT(left, 25h);
}

TEST(TlsContext, a_certificate_without_an_end_outlasts_all_time_that_can_be_said) {
  Folder f;
  X509* own = f.server.certificate.get();
  ASSERT_EQ(ASN1_TIME_set_string_X509(X509_getm_notAfter(own), "99991231235959Z"), 1);
  X509_sign(own, f.authority.key.get(), EVP_sha256());
  write_file(f.files.cert, f.server.certificate_pem());
  auto context = ServerContext::load(f.files);
  ASSERT_TRUE(context.has_value()) << context.error().message;
  EXPECT_EQ((*context)->expires(), WallTime::max());
}

TEST(TlsContext, a_key_of_another_certificate_is_refused) {
  Folder f;
  write_file(f.files.key, f.other.key_pem());
  EXPECT_THAT(f.error(),
              HasSubstr("tls_key " + f.files.key + ": does not belong to the certificate in " + f.files.cert));
}

TEST(TlsContext, files_that_are_missing_cut_off_or_no_pem_are_named) {
  Folder f;
  const std::string cert = f.server.certificate_pem(), key = f.server.key_pem();
  write_file(f.files.cert, cert.substr(0, cert.size() / 2));
  EXPECT_THAT(f.error(), HasSubstr("tls_cert " + f.files.cert + ": is no certificate in PEM form"));
  write_file(f.files.cert, cert);
  write_file(f.files.key, "no key");
  EXPECT_THAT(f.error(), HasSubstr("tls_key " + f.files.key + ": is no private key in PEM form"));
  write_file(f.files.key, key);
  f.files.client_ca = f.files.key;
  EXPECT_THAT(f.error(), HasSubstr("tls_client_ca " + f.files.key + ": holds no certificate in PEM form"));
  f.files.client_ca = f.dir / "nothing";
  EXPECT_THAT(f.error(), HasSubstr("tls_client_ca " + f.files.client_ca + ": cannot be read: No such file"));
}

TEST(TlsContext, a_key_with_a_passphrase_is_refused_and_nobody_is_asked) {
  Folder f;
  write_file(f.files.key, Identity::pem([&](BIO* out) {
               unsigned char word[] = "secret";
               PEM_write_bio_PrivateKey(out, f.server.key.get(), EVP_aes_128_cbc(), word, 6, nullptr, nullptr);
             }));
  EXPECT_THAT(f.error(), HasSubstr("without a passphrase"));
}

}  // namespace
}  // namespace colony::tls
