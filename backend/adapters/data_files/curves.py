"""Learning curves as files: a table of all points, and a picture with bands."""

from collections.abc import Sequence
from pathlib import Path

from backend.adapters.data_files.csv import write_csv
from backend.domain.simulation.curves import SHARES, BandPoint, by_plan, mean_curve
from backend.domain.simulation.records import Curve, Point

COLUMNS = ("plan", "seed", "n_labels", "n_llm_answers", "usd", "accuracy", "full_accuracy", "n_again", "n_tokens")

TOKENS = "tokens that people read"


def write_curves_csv(path: Path, curves: Sequence[Curve]) -> None:
    """One row for each point of each run. Raises ConfigurationError when the file can't be written."""
    write_csv(path, COLUMNS, (_row(curve, point) for curve in curves for point in curve.points))


def draw_curves(path: Path, curves: Sequence[Curve], title: str) -> None:
    """A PNG: accuracy by labels and by money, the mean of the seeds and a band from the lowest to the highest."""
    # Imported here: it takes a second that no other command should wait for. Figure without pyplot needs no screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(12, 5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, parse_math=False)
    left, right = figure.subplots(1, 2, sharey=True)
    full = sum(curve.full for curve in curves) / len(curves)
    marks = any(point.n_tokens for curve in curves for point in curve.points)
    for axes, unit in ((left, TOKENS if marks else "labels by people"), (right, "USD")):
        for name, found in by_plan(curves).items():
            points = mean_curve(found)
            where = [_x(point, unit) for point in points]
            (line,) = axes.plot(where, [point.accuracy for point in points], marker=".", label=name)
            low, high = [point.low for point in points], [point.high for point in points]
            axes.fill_between(where, low, high, alpha=0.15, color=line.get_color(), linewidth=0)
        for share in SHARES:
            axes.axhline(share * full, color="grey", linewidth=0.7, linestyle=":")
            axes.annotate(f"{100 * share:.0f} % of full", (1, share * full), xycoords=("axes fraction", "data"), size=7)
        axes.set_xlabel(unit)
        axes.grid(alpha=0.2)
    left.set_ylabel("F1 on held-out texts" if marks else "accuracy on held-out tasks")
    left.legend(loc="lower right")
    figure.savefig(path, format="png")


def _row(curve: Curve, point: Point) -> tuple[object, ...]:
    figures = (f"{point.usd:.4f}", f"{point.accuracy:.4f}", f"{curve.full:.4f}")
    return (curve.plan, curve.seed, point.n_labels, point.n_answers, *figures, point.n_again, point.n_tokens)


def _x(point: BandPoint, unit: str) -> float:
    return point.usd if unit == "USD" else point.n_tokens if unit == TOKENS else float(point.n_labels)
