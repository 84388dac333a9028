"""Archives: many videos and photos scored into one Parquet dataset, on all cores of a machine."""

import importlib.abc
import sys


class _NoPandas(importlib.abc.MetaPathFinder):
    """Makes pandas unimportable."""

    def find_spec(self, name: str, *_: object) -> None:
        """Raise ImportError for pandas; other names are others' affair."""
        if name == "pandas":
            raise ImportError("pandas is left out in fer-score's processes")


def leave_pandas_out() -> None:
    """Keep pyarrow from importing pandas, which is not used here: half a second of each of the command's processes."""
    if "pandas" not in sys.modules:
        sys.meta_path.insert(0, _NoPandas())
