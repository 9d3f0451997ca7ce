"""A log is never written by two: copies of a home are noticed, and go on in a log of their own."""
