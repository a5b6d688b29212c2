"""A module of one's own, as a notebook has beside it."""


def three() -> int:
    return 3


class Three:
    def of(self) -> int:
        return 3
