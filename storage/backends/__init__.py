"""The technologies that hold a store; they never meet each other."""
