"""The home: the folder of one device. Where things lie in it, its config, and its locks. No key is known here."""
