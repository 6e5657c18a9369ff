"""What made a file, in its FITS header."""

import json
from collections.abc import Mapping

from astropy.io import fits


def add_provenance(header: fits.Header, provenance: Mapping) -> None:
    """For people as HISTORY, for programs as one JSON text (which CONTINUE cards carry at any length)."""
    header["PROVENAN"] = (json.dumps(dict(provenance), default=str), "JSON")
    for key, value in provenance.items():
        header.add_history(f"{key}: {value}".encode("ascii", "replace").decode())
