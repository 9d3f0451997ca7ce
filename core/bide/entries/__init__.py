"""The domain: the kinds of entries, their fields, their events and the rules of a repair conversation."""
