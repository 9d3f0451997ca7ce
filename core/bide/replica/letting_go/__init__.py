"""Pausing what is shared, ending it, and erasing one's own words."""
