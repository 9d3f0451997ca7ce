"""Where a relay keeps what it was given: the contract in `base`, and its implementations."""
