"""Errors that a user can mend. Each is one line: what is wrong, with which file, what to do."""

from __future__ import annotations


class Geot2tError(Exception):
    """Base of every error that geot2t raises on purpose; the command line prints it as one line."""


class InputError(Geot2tError, ValueError):
    """An argument, option or input file that cannot be used as it is."""


class RasterReadError(Geot2tError, OSError):
    """A raster that cannot be opened, is refused by a limit, or fails while it is read."""


class OutputError(Geot2tError, OSError):
    """An output that cannot be written, or that did not read back as it was written."""


class BusyError(OutputError):
    """An output that another run is writing."""


class ModelError(Geot2tError):
    """A model file that is missing, malformed, altered or of another kind."""
