"""What a node of a cluster lacks: sent there as code, so that it needs nothing but Python."""

import importlib.metadata
import importlib.util
import os
from collections.abc import Sequence

PACKAGES = ("fer_runtime", "pyarrow", "onnxruntime", "cv2", "retinaface")


def what_is_missing(version: str, paths: Sequence[str]) -> str:
    """What is wrong with this node, as the end of a sentence; empty where nothing is.

    version: the command's, of fer-edge. paths: files that all nodes are to see.
    """
    lacking = [name for name in PACKAGES if not _is_installed(name)]
    if lacking:
        return (
            f"lacks {', '.join(lacking)}: install the command's version there, pip install 'fer-edge[ray]=={version}'"
        )
    found = importlib.metadata.version("fer-edge")
    if found != version:
        return f"has fer-edge {found}, and the command is {version}: install the same there"
    for path in paths:
        if not os.path.lexists(path):
            folder = os.path.dirname(path)
            return f"does not see what is in {folder}: expected a file system that all nodes share, or a URL as s3://"
    return ""


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:
        return False
