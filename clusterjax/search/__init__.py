"""From a sky map to candidates: windows, the scan, detection."""
