"""What every output is."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fer_runtime.types import Result


class Output(Protocol):
    """One consumer of results."""

    def write(self, image: NDArray[np.uint8], result: Result) -> bool:
        """Take one frame (uint8 BGR [h, w, 3], not to be changed) and its result; False asks the loop to end."""

    def close(self) -> None:
        """Finish what was begun."""
