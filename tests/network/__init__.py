"""Networks that cut, stall, swallow and crawl, between real clients and a real relay."""
