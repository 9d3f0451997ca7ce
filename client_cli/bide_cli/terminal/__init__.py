"""The terminal: the streams and who sits there, asking, and setting text, days and times on a screen."""
