"""One page that links what the other stages left, with the numbers that matter."""

from pipelines.stage import REPORTS, stage
from scanlens.index.run import INDEX_PAGE, time_table, write_index

if __name__ == "__main__":
    with stage("index") as run:
        facts = write_index(REPORTS)
        print(time_table(facts["seconds_by_stage"]), flush=True)
        run.report(facts, f"{len(facts['links'])} links, open {REPORTS / INDEX_PAGE}")
