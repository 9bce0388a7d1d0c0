"""Patterns of dates and times, in date_format, to_timestamp and from_unixtime: each letter, lengths, zones, refusals."""

from harness import Family

cases = Family()

DAYS = ["2026-01-02 03:04:05.678901", "2024-02-29 13:00:00", "2025-12-31 23:59:59.5", "1999-07-08 00:00:00", "0099-03-15 12:34:56"]
PRAGUE = {"spark.sql.session.timeZone": "Europe/Prague"}
LEGACY_OFF = {"spark.sql.legacy.timeParserPolicy": "CORRECTED"}


def formatted(*patterns: str):
    """One column a pattern."""
    return [f"date_format(CAST(v AS TIMESTAMP), '{pattern}') AS `p{index}`" for index, pattern in enumerate(patterns)]


cases.rows("years", DAYS, *formatted("y", "yy", "yyy", "yyyy", "yyyyy", "yyyyyy", "G y", "GGGG yyyy"))
cases.rows("months", DAYS, *formatted("M", "MM", "MMM", "MMMM", "L", "LL", "LLL", "LLLL", "Q", "QQ", "QQQQ", "q"))
cases.rows("days", DAYS, *formatted("d", "dd", "D", "DD", "DDD", "E", "EE", "EEE", "EEEE", "F"))
cases.rows("hours", DAYS, *formatted("H", "HH", "h", "hh", "k", "kk", "K", "KK", "a", "h:mm a"))
cases.rows("fractions", DAYS, *formatted("S", "SS", "SSS", "SSSS", "SSSSSS", "SSSSSSSSS", "s.S"))
cases.rows("zones", ["2026-01-02 03:04:05", "2026-07-02 03:04:05"], *formatted("X", "XX", "XXX", "XXXX", "XXXXX", "x", "xxx", "xxxxx", "Z", "ZZZZ", "ZZZZZ", "O", "OOOO", "VV", "z", "zzz"), conf=PRAGUE)
cases.rows("zones_utc", DAYS[:1], *formatted("X", "XX", "XXX", "x", "xx", "xxx", "Z", "ZZZZ", "ZZZZZ", "O", "OOOO", "VV", "z"))
cases.rows("zones_offset", DAYS[:1], *formatted("X", "XXX", "x", "Z", "ZZZZ", "O", "OOOO", "VV", "z"), conf={"spark.sql.session.timeZone": "+05:30"})
cases.rows("literals", DAYS[:1], "date_format(CAST(v AS TIMESTAMP), \"yyyy-MM-dd'T'HH:mm:ss'Z'\") AS a", "date_format(CAST(v AS TIMESTAMP), 'yyyy.MM/dd, HH|mm') AS b",
           "date_format(CAST(v AS TIMESTAMP), 'yyyy[-MM]') AS c", "date_format(CAST(v AS TIMESTAMP), '') AS d")
cases.rows("week_letters_refused", DAYS[:1], *formatted("w"))
cases.rows("week_year_refused", DAYS[:1], *formatted("YYYY-MM-dd"))
cases.rows("too_many_letters_refused", DAYS[:1], *formatted("MMMMM"))
cases.rows("too_many_hours_refused", DAYS[:1], *formatted("HHH"))
cases.rows("unknown_letter_refused", DAYS[:1], *formatted("yyyy-mm-dd n"))
cases.rows("open_quote_refused", DAYS[:1], "date_format(CAST(v AS TIMESTAMP), \"yyyy'T\")")
cases.rows("day_number_of_week_refused", DAYS[:1], *formatted("u e"))
cases.rows("pattern_is_null", DAYS[:1], "date_format(CAST(v AS TIMESTAMP), NULL) AS a", "to_timestamp(v, NULL) AS b")
cases.rows("pattern_is_a_column", ["yyyy", "MM-dd"], "date_format(TIMESTAMP'2026-01-02 03:04:05', v) AS a")
cases.rows("read_two_digit_year", ["26-01-02", "99-12-31", "00-01-01"], "CAST(to_timestamp(v, 'yy-MM-dd') AS STRING) AS a")
cases.rows("read_time_only", ["03:04:05"], "CAST(to_timestamp(v, 'HH:mm:ss') AS STRING) AS a")
cases.rows("read_without_separators", ["20260102030405"], "CAST(to_timestamp(v, 'yyyyMMddHHmmss') AS STRING) AS a")
cases.rows("read_day_of_year", ["2024-060", "2026-060"], "CAST(to_timestamp(v, 'yyyy-DDD') AS STRING) AS a")
cases.rows("read_names", ["Fri, 2 Jan 2026", "Wed, 31 Dec 2025"], "CAST(to_timestamp(v, 'EEE, d MMM yyyy') AS STRING) AS a")
cases.rows("read_names_in_capitals", ["FRI, 2 JAN 2026"], "CAST(to_timestamp(v, 'EEE, d MMM yyyy') AS STRING) AS a")
cases.rows("read_wrong_weekday", ["Mon, 2 Jan 2026"], "to_timestamp(v, 'EEE, d MMM yyyy')")
cases.rows("read_iso_offsets", ["2026-01-02T03:04:05+02:00", "2026-01-02T03:04:05Z"], "CAST(to_timestamp(v, \"yyyy-MM-dd'T'HH:mm:ssXXX\") AS STRING) AS a", conf=PRAGUE)
cases.rows("read_fraction_widths", ["2026-01-02 03:04:05.1", "2026-01-02 03:04:05.123"], "CAST(try_to_timestamp(v, 'yyyy-MM-dd HH:mm:ss.SSS') AS STRING) AS a",
           "CAST(try_to_timestamp(v, 'yyyy-MM-dd HH:mm:ss.S') AS STRING) AS b", "CAST(try_to_timestamp(v, 'yyyy-MM-dd HH:mm:ss.SSSSSS') AS STRING) AS c")
cases.rows("read_optional_parts", ["2026-01-02", "2026-01-02 03:04", "2026-01-02 03:04:05"], "CAST(to_timestamp(v, 'yyyy-MM-dd[ HH:mm[:ss]]') AS STRING) AS a")
cases.rows("read_impossible_day", ["2026-02-30"], "to_timestamp(v, 'yyyy-MM-dd')")
cases.rows("read_empty", [""], "to_timestamp(v, 'yyyy-MM-dd')")
cases.rows("read_as_date", ["02/01/2026", None], "to_date(v, 'dd/MM/yyyy') AS a", "unix_timestamp(v, 'dd/MM/yyyy') AS b")
cases.rows("read_in_corrected_policy", ["2026-1-2", "x"], "CAST(try_to_timestamp(v, 'yyyy-MM-dd') AS STRING) AS a", conf=LEGACY_OFF)
cases.rows("from_unixtime_patterns", ["0", "1770000002", "-86401"], "from_unixtime(CAST(v AS BIGINT), 'dd.MM.yyyy HH:mm:ss') AS a", "from_unixtime(CAST(v AS BIGINT), 'EEEE D') AS b",
           "from_unixtime(CAST(v AS BIGINT), 'yyyy-MM-dd HH:mm:ss z XXX') AS c", conf=PRAGUE)
cases.rows("from_unixtime_bad_pattern", ["0"], "from_unixtime(CAST(v AS BIGINT), 'yyyy-bb')")
cases.rows("from_unixtime_far", ["253402300800", "-62135596801"], "from_unixtime(CAST(v AS BIGINT)) AS a")
cases.rows("timestamps_as_text_far", ["253402300800", "-62135596801", "-62167219201"], "CAST(CAST(CAST(v AS BIGINT) AS TIMESTAMP) AS STRING) AS a")
for name in ["UTC", "GMT", "Etc/UTC", "+05:30", "America/New_York", "America/Chicago", "America/Denver", "America/Phoenix", "America/Los_Angeles", "America/Sao_Paulo", "America/Toronto", "Europe/London",
             "Europe/Dublin", "Europe/Lisbon", "Europe/Berlin", "Europe/Paris", "Europe/Prague", "Europe/Madrid", "Europe/Athens", "Europe/Kiev", "Europe/Istanbul", "Europe/Moscow", "Asia/Kolkata", "Asia/Tokyo",
             "Asia/Shanghai", "Asia/Singapore", "Asia/Hong_Kong", "Asia/Seoul", "Asia/Dubai", "Asia/Jerusalem", "Australia/Sydney", "Australia/Brisbane", "Pacific/Auckland", "Africa/Johannesburg", "Africa/Cairo", "Asia/Kathmandu"]:
    cases.rows("long_name_" + name.replace("/", "_"), ["2026-01-02 12:00:00", "2026-07-02 12:00:00"], *formatted("zzzz", "z"), conf={"spark.sql.session.timeZone": name})
