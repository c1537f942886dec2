"""The errors that a user can meet: one line that says what was expected, what was found, and what to do."""


class RVQLensError(Exception):
    """Something the user brought, or asked for, does not fit.

    ``where`` names the file and, after a colon, the field; the three parts after it make one line:
    ``WHERE: expected EXPECTED, found FOUND; DO``.
    """

    def __init__(self, where: str, *, expected: str, found: str, do: str) -> None:
        self.where = where
        self.expected = expected
        self.found = found
        self.do = do
        super().__init__(" ".join(f"{where}: expected {expected}, found {found}; {do}".split()))


class CheckpointError(RVQLensError):
    """A checkpoint cannot be read or does not hold what it must."""


class ClipError(RVQLensError):
    """A motion clip cannot be read or does not fit the checkpoint."""


class ReportError(RVQLensError):
    """A report folder cannot be read or written."""


class SettingsError(RVQLensError):
    """An option or a configuration value is out of range."""
