"""A node whose surroundings fail at random, callers who check each answer, and the verdict."""
