"""The two ways a command can end without its result."""


class FerError(Exception):
    """It could not be done: bad input or a missing part.

    The message is one sentence for the user: what was expected, what was found, what to do.
    """

    exit_code = 1


class GateError(FerError):
    """It was done and the answer is no: a gate was breached, and nothing but a report was written."""

    exit_code = 3
