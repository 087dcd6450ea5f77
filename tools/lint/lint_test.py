#!/usr/bin/env python3
"""The checks find what they are for: each case plants one fault in a small tree and expects the line to be named."""
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


def run(tool, root):
    result = subprocess.run([sys.executable, os.path.join(HERE, tool), root], capture_output=True, text=True, check=False)
    return result.returncode, result.stdout


class Lint(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="colony-lint-")
        self.addCleanup(self.folder.cleanup)
        self.root = self.folder.name

    def plant(self, path, text):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)

    def expect_fault(self, path, text, says):
        self.plant(path, text)
        code, output = run("includes.py", self.root)
        self.assertEqual(code, 1, output)
        self.assertIn(f"{path}:1:", output)
        self.assertIn(says, output)

    def test_a_tree_that_keeps_the_rules_passes(self):
        self.plant("src/policy/balance.cc", '#include "domain/table.h"\n#include <vector>\n')
        self.plant("src/request/replica/inbox.cc", '#include "request/runtime/contract.h"\n')
        self.plant("src/transport/backend/h2.cc", "#include <nghttp2/nghttp2.h>\n")
        self.plant("src/engine/wire.cc", '#include "colony/engine/v1/engine.pb.h"\n')
        self.assertEqual(run("includes.py", self.root), (0, ""))

    def test_request_may_not_include_control(self):
        self.expect_fault("src/request/proxy/a.cc", '#include "control/master/contract.h"\n', "never include each other")

    def test_control_may_not_include_request(self):
        self.expect_fault("src/control/master/a.cc", '#include "request/replica/contract.h"\n', "never include each other")

    def test_policy_may_not_do_io(self):
        self.expect_fault("src/policy/a.cc", "#include <unistd.h>\n", "policy/ is pure")

    def test_policy_may_not_include_the_loop(self):
        self.expect_fault("src/policy/a.cc", '#include "async/loop.h"\n', "not async/")

    def test_a_library_away_from_home_is_found(self):
        self.expect_fault("src/domain/a.h", "#include <yaml-cpp/yaml.h>\n", "yaml-cpp is included from its home only")

    def test_generated_code_away_from_home_is_found(self):
        self.expect_fault("src/engine/a.h", '#include "colony/engine/v1/engine.pb.h"\n', "generated protobuf code")

    def test_only_the_contract_of_the_next_hop_is_included(self):
        self.expect_fault("src/request/proxy/a.cc", '#include "request/replica/inbox.h"\n', "only its contract.h")

    def test_a_folder_without_a_room_is_found(self):
        self.expect_fault("src/helpers/a.cc", "#include <vector>\n", "lies in no room")

    def test_an_unknown_library_is_found(self):
        self.expect_fault("src/app/a.cc", "#include <no_such_library/a.h>\n", "belongs to no library")

    def test_a_forbidden_word_is_found(self):
        subprocess.run(["git", "init", "-q", self.root], check=True)
        self.plant("src/base/a.cc", "// TO" + "DO later\n")
        code, output = run("words.py", self.root)
        self.assertEqual(code, 1, output)
        self.assertIn("src/base/a.cc:1:", output)

    def test_a_link_that_leads_nowhere_is_found(self):
        subprocess.run(["git", "init", "-q", self.root], check=True)
        self.plant("a.md", "# A title\n[good](#a-title) [good](b/c.md)\n[bad](b/d.md)\n[bad](#no-title)\n")
        self.plant("b/c.md", "text\n")
        code, output = run("links.py", self.root)
        self.assertEqual((code, output), (1, "a.md:3: b/d.md leads nowhere\na.md:4: #no-title leads nowhere\n"))


if __name__ == "__main__":
    unittest.main()
