"""The way into this device's own log: entries, who belongs to a space, what waits before it is sent, what is imported."""
