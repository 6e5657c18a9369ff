"""Real surveys over the network: a polite downloader with a cache, image services, and published catalogues."""
