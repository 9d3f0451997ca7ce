"""From stored envelopes to members and read model: opened, vetted, judged, projected. It can be done again at any time."""
