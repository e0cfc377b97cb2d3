"""`python -m benchmarks [NAME] [OPTIONS]`: all of them, or one."""

import importlib
import sys

BENCHMARKS = (
    *("sessions", "activity", "pages", "page_stats", "metrics", "metrics_scrape"),
    *("tracking", "stats", "stalls", "web"),
)


def main() -> None:
    wanted: tuple[str, ...] = BENCHMARKS
    options = sys.argv[1:]
    if options and options[0] in BENCHMARKS:
        wanted, options = (options[0],), options[1:]
    for name in wanted:
        importlib.import_module(f"benchmarks.{name}").main(options)


if __name__ == "__main__":
    main()
