"""Where a replica keeps its log and what is derived from it: the contract and its implementations."""
