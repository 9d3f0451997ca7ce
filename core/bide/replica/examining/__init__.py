"""Whether a replica is whole and a relay honest, said in words; and a damaged one mended."""
