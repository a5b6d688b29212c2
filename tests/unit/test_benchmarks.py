"""The pure parts of the benchmarks: what counts as a right answer, as a ratio, as a met target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.harness.boston import Boston
from benchmarks.harness.cases import Case, Measurement, Results, cases
from benchmarks.harness.home import Unavailable
from benchmarks.harness.load import Request, Wrong, figures, needles, script
from benchmarks.harness.ramp import Ramp, Shape
from benchmarks.harness.realtime_targets import by_the_best, realtime_targets, share_of_echo
from benchmarks.harness.report import markdown, number, replace_section
from benchmarks.harness.targets import Target, Verdict, of_capacity, ratio, verdicts

MANY = Case(model="linear", rows=1, callers=64)


def request(expected: Sequence[float] | None, body: bytes = b'{"a":"\\n"}') -> Request:
    return Request(url="http://127.0.0.1:1/x", headers={"A": 'b"c'}, body=body, expected=expected)


def measured(system: str, rate: float, *, round: int = 1, case: Case = MANY, wrong: int = 0) -> Measurement:
    return Measurement(
        system=system,
        round=round,
        case=case,
        calls=int(rate) * 10,
        seconds=10,
        wrong=wrong,
        lost=0,
        p50_ms=1000 / rate,
        p90_ms=2,
        p99_ms=3,
        p999_ms=4,
        max_ms=5,
        cpu_us=100,
        pss_mb=200,
    )


def results(*measurements: Measurement) -> Results:
    machine = {"date": "2026-01-01", "cores": 2, "cpu": "x", "system": "y", "load": 0.1}
    return Results(machine=machine, options={"rounds": 2, "seconds": 5}, measurements=list(measurements))


def test_a_right_answer_gives_the_beginnings_of_its_first_and_last_prediction() -> None:
    answer = '{"id":"x","shape":[2,1],"data":[30.003843377016814, 25.02]}'
    assert needles(answer, request([30.003843377016, 25.02])) == ("30.0038433", "25.02")


@pytest.mark.parametrize(
    "answer",
    [
        '{"success":false,"errorMessage":"boom"}',
        '{"data":[30.1]}',
        '{"data":[30.0, 25.0, 1.0]}',
        '{"data":["30.0", null]}',
    ],
)
def test_an_answer_without_the_expected_predictions_is_wrong(answer: str) -> None:
    with pytest.raises(Wrong, match="without the expected predictions"):
        needles(answer, request([30.0, 25.0]))


def test_an_echo_must_send_back_what_it_got() -> None:
    assert needles('{"a":"\\n"}', request(None)) == ('{"a":"\\n"}', '{"a":"\\n"}')
    with pytest.raises(Wrong, match="did not send back"):
        needles("something else", request(None))


def test_the_script_quotes_bodies_and_headers_for_lua() -> None:
    source = script([(request([1.5]), '{"p":[1.5]}')])
    assert r'wrk.body = "{\"a\":\"\\n\"}"' in source
    assert r'["A"] = "b\"c"' in source
    assert '{"1.5", "1.5", 10}' in source


def test_several_requests_go_out_in_turn() -> None:
    source = script([(request([1.5]), "[1.5]"), (request([2.5]), "[2.5]")])
    assert source.count("wrk.format(") == 2
    assert "turn = turn % #ready + 1" in source


def test_figures_are_found_among_what_wrk_prints() -> None:
    assert figures('Running 1s test\nFIGURES {"calls":3}\n') == {"calls": 3}
    with pytest.raises(Unavailable, match="unable to connect"):
        figures("", "unable to connect to 127.0.0.1:1 Connection refused")


def test_rows_begin_again_after_the_last_and_whole_columns_stay_whole(tmp_path: Path) -> None:
    file = tmp_path / "boston.csv"
    file.write_text('"crim","chas","medv"\n0.5,1,24\n1.5,0,21\n')
    boston = Boston.read(file)
    assert boston.by_column(3) == b'{"inputData":{"crim":[0.5,1.5,0.5],"chas":[1,0,1]}}'
    assert boston.by_row(1) == b'{"instances":[[0.5,1]]}'
    assert b'"shape":[2,2],"datatype":"FP64","data":[0.5,1,1.5,0]' in boston.tensor(2)


def test_cases_are_all_combinations() -> None:
    assert len(cases(["linear", "forest"], [1, 10, 1000], [1, 8, 64])) == 18
    assert Case(model="forest", rows=10, callers=1).label == "forest, 10 rows, 1 caller"


def test_a_ratio_is_the_median_of_the_ratios_within_each_round() -> None:
    found = results(
        measured("ours", 300, round=1),
        measured("theirs", 100, round=1),
        measured("ours", 900, round=2),
        measured("theirs", 100, round=2),
        measured("ours", 500, round=3),
    )
    assert ratio("ours", "theirs", MANY)(found) == 6
    assert ratio("ours", "theirs", MANY, "p50_ms", inverse=True)(found) == pytest.approx(6)
    assert ratio("ours", "missing", MANY)(found) is None


def test_wrong_answers_do_not_count_as_calls() -> None:
    found = measured("ours", 100, wrong=400)
    assert found.rate == 60
    assert found.errors == 400


def test_the_share_of_capacity_counts_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    found = results(measured("ours", 300))
    found.floors.append({"language": "Python", "costs": {"linear": {"1": {"cpu_us": 5000.0}}}})
    assert of_capacity("ours", MANY, "Python")(found) == pytest.approx(75)
    assert of_capacity("ours", MANY, "R")(found) is None


def test_a_verdict_knows_its_direction() -> None:
    low = Target(what="wait", bound=2, unit="ms", reached=lambda _: None, at_most=True)
    high = Target(what="rate", bound=2, unit="x", reached=lambda _: None)
    assert [Verdict(target=low, value=v).word for v in (1, 3, None)] == ["met", "missed", "not measured"]
    assert [Verdict(target=high, value=v).word for v in (1, 2)] == ["missed", "met"]


def test_results_survive_their_json() -> None:
    found = results(measured("ours", 300))
    assert Results.load(found.dump()) == found


def test_the_report_shows_systems_targets_and_what_was_not_measured() -> None:
    found = results(measured("gristmill-array", 800), measured("mlserver", 100))
    found.problems["kserve"] = "cannot be installed"
    systems = {name: (name, "Python") for name in ("mlserver", "gristmill-array")}
    text = markdown(found, systems)
    assert "| linear, 1 row, 64 callers, array, by mlserver | ≥ 7.00 x | 8.00 x | met |" in text
    assert "| gristmill-array | 800 | 1.25 | 3.00 | 100 | 200 | 0 |" in text
    assert "- kserve: cannot be installed" in text
    assert len(verdicts(found)) > 20


def test_numbers_show_three_digits_that_count() -> None:
    assert [number(v) for v in (None, 0.123, 12.34, 1234.5)] == ["-", "0.12", "12.3", "1,234"]


def test_a_marked_section_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text("before\n<!-- soak: begin -->\nold\n<!-- soak: end -->\nafter\n")
    replace_section(file, "soak", "new")
    assert file.read_text() == "before\n<!-- soak: begin -->\nnew\n<!-- soak: end -->\nafter\n"
    with pytest.raises(ValueError, match="has no section"):
        replace_section(file, "scoring", "new")


def test_the_share_of_the_echo_is_taken_at_the_same_rows_and_callers() -> None:
    echo = Case(model="none", rows=1, callers=64)
    found = results(measured("ours", 400), measured("echo", 1000, case=echo), measured("ours", 300, round=2))
    assert share_of_echo("ours", MANY)(found) == 40
    assert share_of_echo("ours", Case(model="linear", rows=1, callers=1))(found) is None


def test_the_best_rival_is_that_of_each_round_and_all_must_have_run() -> None:
    found = results(
        measured("ours", 400, round=1),
        measured("a", 200, round=1),
        measured("b", 100, round=1),
        measured("ours", 400, round=2),
        measured("a", 100, round=2),
        measured("b", 50, round=2),
    )
    assert by_the_best("ours", ("a", "b"), MANY)(found) == 3
    assert by_the_best("ours", ("a", "b", "c"), MANY)(found) is None


def test_memory_grows_from_when_all_users_are_there() -> None:
    series = [{"seconds": i, "pss_mb": 100.0 + 10 * (i > 25), "users": 10} for i in range(31)]
    ramp = Ramp(system="ours", model="forest", shape=asdict(Shape()), calls=90, wrong=10, lost=2)
    ramp.series = [{"seconds": 0.0, "pss_mb": 50.0, "users": 0}, *series]
    assert (ramp.errors, ramp.rate, ramp.peak_mb) == (12, 2, 110)
    assert ramp.growth == pytest.approx(10)
    words = [verdict.word for verdict in verdicts(results(), realtime_targets([ramp]))]
    assert words[-2:] == ["missed", "met"]
    assert set(words[:-2]) == {"not measured"}
