"""Prices of models from a settings file."""

from pathlib import Path

import pytest

from backend.adapters.llm.prices import FilePrices
from backend.domain.llm.records import ModelPrice
from backend.errors import ConfigurationError


def prices(tmp_path: Path, text: str) -> FilePrices:
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    return FilePrices(path)


def test_knows_public_prices_without_a_file() -> None:
    shipped = FilePrices(None)
    mini = shipped.of("gpt-4o-mini")
    assert mini is not None
    assert (mini.input_usd, mini.output_usd, mini.batch) == (0.15, 0.6, 0.5)
    assert shipped.of("gpt-4o-mini-2024-07-18") == mini
    old = shipped.of("gpt-4o-2024-05-13")
    assert old is not None
    assert old.input_usd == 5.0


def test_says_so_when_nobody_stated_a_price() -> None:
    assert FilePrices(None).of("llama3.1:8b") is None
    # Audio and search variants have prices of their own.
    assert FilePrices(None).of("gpt-4o-mini-audio-preview") is None


def test_an_exact_name_counts_before_a_pattern_and_a_long_pattern_before_a_short_one(tmp_path: Path) -> None:
    own = prices(
        tmp_path,
        """
        models:
          "*": {input_usd: 1, output_usd: 1}
          llama3*: {input_usd: 2, output_usd: 2}
          llama*: {input_usd: 3, output_usd: 3}
          llama3.1:8b: {input_usd: 0, output_usd: 0, batch: 1, image_tokens: 10}
        """,
    )
    assert own.of("llama3.1:8b") == ModelPrice(0.0, 0.0, 1.0, 10)
    assert own.of("llama3.2") == ModelPrice(2.0, 2.0)
    assert own.of("llama2") == ModelPrice(3.0, 3.0)
    assert own.of("other") == ModelPrice(1.0, 1.0)


def test_a_teams_file_counts_before_the_shipped_prices_and_leaves_the_others(tmp_path: Path) -> None:
    # JSON is YAML.
    own = prices(tmp_path, '{"models": {"gpt-4o*": {"input_usd": 9, "output_usd": 9}}}')
    assert own.of("gpt-4o-mini") == ModelPrice(9.0, 9.0)
    assert own.of("gpt-4.1") == FilePrices(None).of("gpt-4.1")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("models: {a: {input_usd: -1, output_usd: 1}}", ["models, a, input_usd", "greater than or equal to 0"]),
        ("models: {a: {input_usd: .nan, output_usd: 1}}", ["a, input_usd", "finite"]),
        ("models: {a: {input_usd: 1, output_usd: .inf}}", ["a, output_usd", "finite"]),
        ("models: {a: {input_usd: '1', output_usd: 1}}", ["a, input_usd", "valid number"]),
        ("models: {a: {input_usd: 1}}", ["a, output_usd", "required"]),
        ("models: {a: {input_usd: 1, output_usd: 1, ouput: 1}}", ["a, ouput", "not permitted"]),
        ("models: {a: {input_usd: 1, output_usd: 1, batch: 50}}", ["a, batch", "less than or equal to 1"]),
        ("models: {a: {input_usd: 1, output_usd: 1, image_tokens: -5}}", ["a, image_tokens"]),
        ("models: {5: {input_usd: 1, output_usd: 1}}", ["models, 5", "string"]),
        ("model: {}", ["model", "not permitted"]),
        ("", ["must hold `models:`"]),
        ("models: [", ["isn't YAML", "line 1"]),
        ("models:\n  a: {input_usd: 1, output_usd: 1}\n  a: {input_usd: 2, output_usd: 2}", ["line 3", "'a'", "twice"]),
    ],
)
def test_an_error_names_the_file_the_model_and_the_field(tmp_path: Path, text: str, named: list[str]) -> None:
    with pytest.raises(ConfigurationError) as error:
        prices(tmp_path, text).of("a")
    assert all(part in str(error.value) for part in ["prices.yaml", *named]), error.value


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.yaml \(No such file"):
        FilePrices(tmp_path / "none.yaml").of("gpt-4o")
