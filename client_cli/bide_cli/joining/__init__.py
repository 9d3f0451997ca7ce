"""How people and devices come together: pairing, adding devices, and coming back by words on paper."""
