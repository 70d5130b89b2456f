"""What one metric of a user's configuration says of an object: labels and values, as kube-state-metrics finds them.

Source: kube-state-metrics 2.20, pkg/customresourcestate; where it differs from what its page says, as it behaves.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any, Final

import msgspec

from fluxtrail.reports.resource_metrics.numbers import to_number
from fluxtrail.reports.resource_metrics.paths import Path, find
from fluxtrail.reports.resource_metrics.text import go_text, label_name

EACH: Final = "\0each"
"""A step to every value of the whole object: no key is named so."""

Labels = dict[str, str]
Sample = tuple[Labels, float]


class Refusal(StrEnum):
    """Why something gives no sample."""

    MISSING = "missing"
    """Nothing is where a gauge's value should be."""
    NO_NUMBER = "no_number"
    NO_TEXT = "no_text"
    """A state is something else than text."""
    DUPLICATE = "duplicate"
    """Another sample of the same object has the same labels."""
    FAILED = "failed"
    """It could not be made sense of at all."""


Refuse = Callable[[Refusal], None]


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """A whole map as labels: `*`, or `prefix_*`, in a configuration."""

    prefix: str
    path: Path


class LabelPaths(msgspec.Struct, frozen=True, kw_only=True):
    """Labels from an object, or from a part of it."""

    copies: tuple[Copy, ...] = ()
    """First, so that the others win."""
    named: tuple[tuple[str, Path], ...] = ()

    def add_to(self, labels: Labels, value: Any) -> None:
        """Add what is found in `value`; what is nowhere, or null, is no label."""
        for copy in self.copies:
            found = find(value, copy.path)
            if isinstance(found, dict):
                for key in sorted(found):
                    labels[label_name(copy.prefix + key)] = go_text(found[key])
        for name, path in self.named:
            found = find(value, path)
            if found is not None:
                labels[name] = go_text(found)

    def reads(self) -> set[Path]:
        return {copy.path for copy in self.copies} | {path for _, path in self.named}


class SampleType(StrEnum):
    INFO = "info"
    GAUGE = "gauge"
    STATE_SET = "stateset"


class Each(msgspec.Struct, frozen=True, kw_only=True):
    """How an object's samples come about."""

    type: SampleType
    path: Path = ()
    """To a value, or to a list or map of them; the whole object where empty."""
    labels: LabelPaths = LabelPaths()
    """Relative to each of them."""
    key_label: str = ""
    """The label that takes a map's keys."""
    value_from: Path = ()
    nil_is_zero: bool = False
    states: tuple[str, ...] = ()
    state_label: str = ""

    def samples(self, obj: dict[str, Any], refuse: Refuse) -> list[Sample]:
        """Return an object's samples in the order of their labels."""
        value = find(obj, self.path)
        match self.type:
            case SampleType.INFO:
                found = self._infos(value)
            case SampleType.GAUGE:
                found = self._gauges(value, refuse)
            case _:
                found = self._states(value, refuse)
        samples = list(found)
        return sorted(samples, key=_order) if len(samples) > 1 else samples

    def reads(self) -> set[Path]:
        """Return all that must be known of an object."""
        if self.path:
            return {self.path}
        if self.key_label or self.nil_is_zero or (self.type is SampleType.GAUGE and not self.value_from):
            return {()}
        needed = self.labels.reads()
        if self.type is not SampleType.INFO:
            needed.add(self.value_from)
        if self.type is not SampleType.STATE_SET:
            needed |= {(EACH, *path) for path in needed}
        return {()} if () in needed else needed

    def _infos(self, value: Any) -> Iterator[Sample]:
        """One of each element of a list; of a map one by itself, and one of each of its values that has a label."""
        if isinstance(value, list):
            for item in value:
                yield from self._info(item)
            return
        if isinstance(value, dict):
            for key, item in value.items():
                labels = {self.key_label: key} if key and self.key_label else {}
                self.labels.add_to(labels, item)
                if labels:
                    yield labels, 1.0
        yield from self._info(value)

    def _info(self, value: Any) -> Iterator[Sample]:
        if value is None:
            return
        labels: Labels = {}
        self.labels.add_to(labels, value)
        if labels:
            yield labels, 1.0

    def _gauges(self, value: Any, refuse: Refuse) -> Iterator[Sample]:
        if isinstance(value, dict):
            yield from self._gauges_of_map(value, refuse)
            return
        for item in value if isinstance(value, list) else [value]:
            try:
                number = self._number(item)
            except ValueError:
                refuse(Refusal.MISSING if item is None else Refusal.NO_NUMBER)
                continue
            if number is not None:
                labels: Labels = {}
                self.labels.add_to(labels, item)
                yield labels, number

    def _gauges_of_map(self, items: dict[str, Any], refuse: Refuse) -> Iterator[Sample]:
        """One of each value: of what `value_from` leads to below it, or of the value that `value_from` itself names."""
        wanted = self.value_from[0] if len(self.value_from) == 1 and "," not in self.value_from[0] else None
        for key, item in items.items():
            number: float | None
            try:
                if wanted and key == wanted:
                    number = 0.0 if item is None and self.nil_is_zero else to_number(item)
                else:
                    number = self._number(item)
            except ValueError:
                # What is no number below a value is passed over in silence there: a map holds all sorts of things.
                if key == wanted:
                    refuse(Refusal.NO_NUMBER)
                continue
            if number is None:
                continue
            labels = {self.key_label: key} if key and self.key_label else {}
            self.labels.add_to(labels, item)
            self.labels.add_to(labels, items)
            yield labels, number

    def _number(self, item: Any) -> float | None:
        """Return the number of a value; None where it has none.

        Raises:
            ValueError: it has something else, or is nothing itself.
        """
        found = find(item, self.value_from)
        if found is not None:
            return to_number(found)
        if self.nil_is_zero:
            return 0.0
        if item is None:
            raise ValueError("nothing is there")
        return None

    def _states(self, value: Any, refuse: Refuse) -> Iterator[Sample]:
        for item in value if isinstance(value, list) else [value]:
            found = find(item, self.value_from)
            if found is None:
                continue
            if not isinstance(found, str):
                refuse(Refusal.NO_TEXT)
                continue
            for state in self.states:
                labels = {self.state_label: state}
                self.labels.add_to(labels, item)
                yield labels, float(state == found)


def _order(sample: Sample) -> list[tuple[str, str]]:
    return sorted(sample[0].items())
