"""A storage becomes somebody's replica, or two people's meet: pairing, adding a device, coming back by a recovery phrase."""
