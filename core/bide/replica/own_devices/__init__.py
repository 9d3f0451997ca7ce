"""My own devices, and the paper that is one: named, removed, let into later spaces, taken along to another relay."""
