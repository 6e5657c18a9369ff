"""From a TFDS split to batches: sources, Grain transforms, loaders, and the same augmentation on the device."""
