"""Numbers in sentences."""


def counted(n: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 label", "2 labels", "0 entries". `many`: where it isn't `one` with an s."""
    return f"{n} {one if n == 1 else many or f'{one}s'}"
