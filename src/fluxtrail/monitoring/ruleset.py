"""All rules together, for one objective."""

from __future__ import annotations

from fluxtrail.monitoring.objective import Objective, objective_rules
from fluxtrail.monitoring.rules import Alert, Group
from fluxtrail.monitoring.rules_flux import flux_rules
from fluxtrail.monitoring.rules_fluxtrail import delivery_rules, itself_rules


def all_rules(objective: Objective) -> list[Group]:
    return [flux_rules(), delivery_rules(), objective_rules(objective), itself_rules()]


def alerts(groups: list[Group]) -> list[Alert]:
    return [rule for group in groups for rule in group.rules if isinstance(rule, Alert)]
