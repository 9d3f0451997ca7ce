"""Homes and relays of every format so far, opened by the newest code."""
