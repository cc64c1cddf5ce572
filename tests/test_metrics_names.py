"""Every metric is documented, and what the alert rules and the dashboard ask for is there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # its types are a package of their own
from prometheus_client.parser import text_string_to_metric_families

from alikassa.server.metrics import families
from alikassa.server.metrics.families import FAMILIES, Family, Role, Type
from alikassa.server.requests.kept import Outcome
from operator_server import operator_here

ROOT = Path(__file__).parent.parent
RULES = ROOT / "contrib/prometheus/alikassa.rules.yml"
DASHBOARD = ROOT / "contrib/grafana/alikassa-server.json"
PAGE = (ROOT / "docs/metrics.md").read_text()
#: What Prometheus adds to each.
_TARGET = {"instance", "job"}
_ENDS = {Type.COUNTER: ("_total",), Type.GAUGE: ("",), Type.HISTOGRAM: ("_bucket", "_sum", "_count")}
_SCRAPED = {family.name + end: family for family in FAMILIES for end in _ENDS[family.type]}
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!=|!~|=)\s*"([^"]*)"')


def _documented(family: Family) -> str:
    name = family.name + ("_total" if family.type is Type.COUNTER else "")
    labels = ", ".join(f"`{label}`" for label in family.labels)
    return f"| `{name}` | {family.type} | {labels} | {family.text} |"


def test_every_metric_is_documented_as_it_is() -> None:
    """Name, type, labels and meaning; and the page tells of none that is not there."""
    told = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert sorted(told) == sorted(map(_documented, FAMILIES))


def test_every_word_of_a_label_is_documented() -> None:
    """Those that are closed sets of this part."""
    words = {word for family in FAMILIES for labels in family.known for value in labels for word in value.split(",")}
    words |= {word for value in families.REASONS.values() for word in value.split(",")}
    assert [word for word in sorted(words) if word and f"`{word}`" not in PAGE] == []


def test_names_are_as_prometheus_wants_them() -> None:
    """One prefix, each once, units in full, and none that the monitor's exporter has."""
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    exporter = set(re.findall(r"alikassa_\w+", (ROOT / "src/alikassa/monitor/exposition.py").read_text()))
    assert not exporter & {*names, *_SCRAPED}
    for family in FAMILIES:
        assert re.fullmatch(r"alikassa_[a-z]+(_[a-z]+)*", family.name)
        assert not family.name.endswith("_total")
        assert family.text.endswith(".")
        assert all(len(labels) == len(family.labels) for labels in family.known)


def _expressions() -> list[tuple[str, str]]:
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = [(target["expr"], target["legendFormat"]) for panel in panels for target in panel["targets"]]
    return [(rule["expr"], "") for rule in rules] + asked


@pytest.mark.parametrize(("expression", "legend"), _expressions())
def test_what_is_asked_for_is_there(expression: str, legend: str) -> None:
    """Metrics by their scraped names, labels that they have, and values that these take."""
    asked = re.findall(r"(alikassa_\w+)(?:\{([^}]*)\})?", expression)
    assert asked or expression.startswith("up{")
    labels: set[str] = set()
    for name, matchers in asked:
        family = _SCRAPED[name]
        own = {*family.labels, *_TARGET, *({"le"} if name.endswith("_bucket") else ())}
        labels |= own
        for label, value in _MATCHER.findall(matchers):
            assert label in own, (name, label)
            if label not in _TARGET:
                position = family.labels.index(label)
                assert set(value.split("|")) <= _values(family, position), (name, label, value)
    for grouped in re.findall(r"\b(?:by|on|without)\s*\(([^)]*)\)", expression):
        assert {one.strip() for one in grouped.split(",")} <= labels, expression
    assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= labels, legend


#: What the database or the first sweep tells, later: alerts on these say what they do until then.
_LATER = {families.VERIFIED_AT.name, families.VERIFIED_WRONG.name, families.SWEPT_AT.name}
_LATER_ALERTS = {"AlikassaBooksWrong", "AlikassaVerificationOld"}  # AlikassaNeverVerified is for before


def test_alerts_can_fire_from_the_start(tmp_path: Path) -> None:
    """All that they ask for is in the first scrape already, of a server that has no worker: what is not there is not
    more or less than anything, and what just appeared has not increased."""
    with operator_here(f"sqlite:///{tmp_path / 'books.db'}") as operator:
        scraped = operator.ask("GET", "/operator/metrics").body.decode()
    there = [
        (sample.name, sample.labels) for family in text_string_to_metric_families(scraped) for sample in family.samples
    ]
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]:
        selectors = re.findall(r"(alikassa_\w+)(?:\{([^}]*)\})?", rule["expr"])
        for name, matchers in selectors:
            asked = dict(_MATCHER.findall(matchers))
            found = any(name == one and asked.items() <= labels.items() for one, labels in there)
            assert found or name in _LATER, (rule["alert"], name, matchers)
        late = bool(selectors) and all(name in _LATER for name, _ in selectors)
        assert late == (rule["alert"] in _LATER_ALERTS), rule["alert"]


def _values(family: Family, position: int) -> set[str]:
    if family.labels[position] == "process":
        return {role.value for role in Role}
    if family.labels[position] == "outcome" and family.known == ():
        return {outcome.value for outcome in Outcome}
    return {labels[position] for labels in family.known}


def test_alerts_say_what_to_do() -> None:
    """Each has a name of its own, a severity and a summary; its text uses labels that it has."""
    document: Any = yaml.safe_load(RULES.read_text())
    (group,) = document["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(set(names)) == len(names)
    for rule in group["rules"]:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
        assert re.fullmatch(r"\d+[smhd]", rule.get("for", "0s"))
        for label in re.findall(r"\$labels\.(\w+)", str(rule["annotations"])):
            assert label in ("instance", "process"), rule


def test_every_metric_is_looked_at() -> None:
    """By an alert or on the dashboard: one that nobody looks at is not worth its counting."""
    text = RULES.read_text() + DASHBOARD.read_text()
    unseen = [f.name for f in FAMILIES if not re.search(rf"\b{f.name}({'|'.join(_ENDS[f.type])})\b", text)]
    assert unseen == []


def test_panels_do_not_overlap() -> None:
    """Each place of the dashboard's grid is one panel's."""
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
