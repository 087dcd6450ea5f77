"""Colony, an online serverless platform, as a Python package.

The package carries the `colony` program and the shared libraries that it needs; the command `colony` of the environment
is this program. ONNX models need ONNX Runtime's library: `pip install "colony-serve[onnx]"` brings it, and the program
finds it in the environment that it lives in.
"""

import os
import sys
from importlib import metadata
from pathlib import Path

try:
    __version__ = metadata.version("colony-serve")
except metadata.PackageNotFoundError:  # imported from a source tree
    __version__ = "0"

__all__ = ["binary", "main", "__version__"]


def binary() -> str:
    """Path of the `colony` program of this installation.

    Raises FileNotFoundError where the package was not installed by pip (a source tree holds no program).
    """
    path = Path(__file__).parent / "bin" / "colony"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: install the package with pip, or build the program with ./dev build")
    return str(path)


def main() -> None:
    """Entry point of the command `colony`: becomes the program. Arguments, exit code and signals are the program's."""
    path = binary()
    os.execv(path, [path, *sys.argv[1:]])
