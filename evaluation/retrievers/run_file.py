"""A TREC run file, whoever wrote it: `query-id Q0 document-id rank score tag`, as trec_eval reads it."""

from collections.abc import Sequence
from pathlib import Path

from evaluation.fingerprints import file_fingerprint
from evaluation.ranking import Hits, hits_of_scores
from evaluation.retrievers.base import Bench, Retriever
from evaluation.runs import Run


class RunFile(Retriever):
    """The order is that of the scores, ties by document id descending; ranks and order of lines do not count.

    Relevant documents that a query's lines do not hold are missed. Documents that the benchmark does not know keep
    their places; queries that it does not know are left out. A query without lines has no hits.
    """

    form = "run:<TREC run file>"
    needs_texts = False

    def __init__(self, bench: Bench, argument: str) -> None:
        super().__init__(bench, argument)
        self._run = Run(Path(argument))
        self.fingerprints = {f"run {argument}": file_fingerprint(Path(argument))}
        known = set(bench.benchmark.query_ids)
        if not known & self._run.query_ids:
            raise ValueError(f"{argument}: none of its queries is one of the benchmark's")
        unknown, silent = len(self._run.query_ids - known), len(known - self._run.query_ids)
        bench.progress(f"{argument}: {unknown} queries that the benchmark does not know, {silent} of it without lines")

    def hits(self, queries: Sequence[int]) -> list[Hits]:
        benchmark = self.bench.benchmark
        return [hits_of_scores(benchmark, self._run.scores_of(benchmark.query_ids[query])) for query in queries]
