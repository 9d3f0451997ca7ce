"""What is known of each space: who belongs, what they are called, how one stands to it, its relay. Imports nothing heavy."""
