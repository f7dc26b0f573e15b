"""Reading what `/metrics` tells."""

from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True, slots=True)
class Samples:
    """Every sample of one scrape: its name, its labels, its value."""

    all: tuple[tuple[str, dict[str, str], float], ...]

    def total(self, name: str, **labels: str) -> float:
        """Sum the samples of this name that carry these labels; 0 where there is none, or none is a number."""
        return sum(
            value
            for sample, has, value in self.all
            if sample == name and value == value and labels.items() <= has.items()  # noqa: PLR0124 - NaN is not itself
        )


def read(text: str) -> Samples:
    """Read Prometheus' text format.

    Raises:
        ValueError: it is something else.
    """
    return Samples(
        tuple(
            (sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        )
    )
