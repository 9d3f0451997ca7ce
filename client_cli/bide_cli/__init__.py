"""The command line of Bide."""
