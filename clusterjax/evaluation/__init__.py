"""From scores to science: curves, confusion per object type, recall against redshift and mass, classical observers."""
