"""Numbers in sentences."""


def counted(n: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 label", "2 labels", "1,000 labels". `many`: where it isn't `one` with an s."""
    return f"{n:,} {one if n == 1 else many or f'{one}s'}"


def share(value: float, form: str = ".2f") -> str:
    """A share, 0..1, in a format like ".2f" or ".0%". Nearly none isn't shown as none, nor nearly all as all."""
    text, none, every = format(value, form), format(0.0, form), format(1.0, form)
    step = 10.0 ** -(int(form[1:-1]) + (2 if form.endswith("%") else 0))
    if text == none and value > 0:
        return f"<{step:{form}}"
    if text == every and value < 1:
        return f">{1 - step:{form}}"
    return text


def both_shares(larger: float, smaller: float) -> tuple[str, str]:
    """Two probabilities of different things, as two digits that don't add up to more than 1. None is certain."""
    first = round(100 * larger)
    second = min(round(100 * smaller), 100 - first)
    return _hundredths(first), _hundredths(second)


def _hundredths(n: int) -> str:
    return "<0.01" if n == 0 else ">0.99" if n == 100 else f"{n / 100:.2f}"
