"""Mathematics on tensors: grids, keyed draws, spectra, noise. Nothing here knows what a dataset is."""
