"""A benchmark of four chunks, file by file in the published layout."""

import json

TINY: dict[str, str] = {
    "corpus.jsonl": "".join(
        json.dumps({"_id": f"{note}_{i}", "text": text, "note_id": note, "patient_id": note}) + "\n"
        for note, i, text in [
            ("n1", 0, "Acute kidney injury after contrast."),
            ("n1", 1, "AKI resolved, creatinine 1.1."),
            ("n2", 0, "Chest pain at rest."),
            ("n2", 1, "Aspirin 100 mg daily."),
        ]
    ),
    "queries.jsonl": "".join(
        json.dumps({"_id": query, "text": text, "type": type_}) + "\n"
        for query, text, type_ in [("q1", "acute kidney injury", "disease"), ("q2", "aspirin", "drug")]
    ),
    "qrels.tsv": "query-id\tcorpus-id\tscore\nq1\tn1_0\t1\nq1\tn1_1\t1\nq1\tn2_0\t0\nq2\tn2_1\t1\n",
    "match_types.tsv": (
        "query-id\tcorpus-id\tmatch_type\tevidence\n"
        "q1\tn1_0\tstring\tseen\nq1\tn1_1\tabbreviation\tunseen\nq2\tn2_1\tstring\tseen\n"
    ),
}
