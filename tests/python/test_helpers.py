"""The helpers of the process tests, tested without any process."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "oracle"))

from compare import differences, load_goldens, normal_console  # noqa: E402
from console import batches, split_batches  # noqa: E402
from log_records import Settings, alerts, is_crash, millis_of, record, records, text  # noqa: E402


def test_console_tables_are_read() -> None:
    printed = load_goldens()["stream_watermarks.the_crash_monitor"]["console"]
    found = batches("noise\n" + "".join(printed))
    assert [batch.number for batch in found] == list(range(8))
    assert sorted(row["user_id"] + " " + row["crash_count"] for row in found[3].dicts()) == ["u1 3", "u2 4"]
    assert found[0].columns == ["window", "user_id", "crash_count"] and found[0].rows == []


def test_a_table_that_is_cut_off_is_left_out() -> None:
    printed = "".join(load_goldens()["stream_modes.plain_append"]["console"])
    assert len(batches(printed)) == 3
    assert len(batches(printed[:-10])) == 2


def test_growing_output_is_read_in_pieces() -> None:
    printed = "".join(load_goldens()["stream_modes.update_counts"]["console"])
    numbers, rest = [], ""
    for line in printed.splitlines(keepends=True):
        found, rest = split_batches(rest + line)
        numbers += [batch.number for batch in found]
    assert numbers == [batch.number for batch in batches(printed)] == [0, 1, 2]


def test_console_rows_compare_in_any_order_where_the_order_is_the_engines() -> None:
    one = "+-+\n|a|\n+-+\n|1|\n|2|\n+-+\n"
    other = "+-+\n|a|\n+-+\n|2|\n|1|\n+-+\n"
    assert normal_console(one, ordered=False) == normal_console(other, ordered=False)
    assert normal_console(one, ordered=True) != normal_console(other, ordered=True)


def test_a_golden_equals_itself_and_not_another() -> None:
    goldens = load_goldens()
    assert differences(goldens["casts.names"], goldens["casts.names"], ordered=True) == []
    assert differences(goldens["casts.names"], goldens["casts.text_to_boolean"], ordered=True)


def test_records_have_the_shares_that_jobs_count_on() -> None:
    settings = Settings(jitter_millis=4_999)
    sample = list(records(settings, 20_000))
    assert abs(sum("crash" in one["content"].lower() for one in sample) - 5_000) < 250
    assert abs(sum(map(is_crash, sample)) - 2_500) < 200


def test_first_records_of_seed_one_stay_as_they_are() -> None:
    settings = Settings(event_time="millis", jitter_millis=4_999)
    assert text(record(settings, 0)) == (
        '{"timestamp": 1769999995337, "status": "WARN", "severity": "Low", "source_ip": "10.190.235.141", '
        '"user_id": "user_5665", "content": "Slow answer from x147"}')


def test_alerts_are_the_closed_windows_over_the_threshold() -> None:
    settings = Settings(users=10, step_micros=10_000)
    sample = list(records(settings, 20_000))
    found = alerts(sample)
    last = max(millis_of(one) for one in sample if is_crash(one))
    assert found and all(count > 2 for count in found.values())
    assert all(start + 10_000 <= last - 30_000 for start, _ in found)
