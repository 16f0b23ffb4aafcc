"""Ontologies in OBO text or OBO-graphs JSON, plain or gzipped, parsed by fastobo (the parser inside pronto).

Formats: https://owlcollab.github.io/oboformat/doc/obo-syntax.html and https://github.com/geneontology/obographs.
fastobo alone, without pronto on top, because a relation to a concept of another ontology is normal (it is left
out here) while an is_a to an undefined one marks a file that was cut; pronto fails on both alike.
"""

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import fastobo

from datagen.graph.tables import KnowledgeGraph

_FETCH_AGAIN = "fetch the file again"


@dataclass
class _Term:
    id: str
    namespace: str
    name: str = ""
    synonyms: list[tuple[str, str]] = field(default_factory=list)
    parents: list[str] = field(default_factory=list)
    relations: list[tuple[str, str]] = field(default_factory=list)
    obsolete: bool = False


def read_obo(path: Path) -> KnowledgeGraph:
    """The live terms of an ontology with their synonyms, is_a and other relations; obsolete terms are skipped.

    The semantic type is the term's namespace where it states one, else the prefix of its id (`DOID`, `HP`).
    A synonym whose type is called abbreviation gets the scope `abbreviation`, else its own scope.
    Raises ValueError naming the file and what to do, for a file that is missing, empty, cut, or in another form.
    """
    text = _text(path)
    is_json = text.lstrip().startswith("{")
    abbreviations = _abbreviations_of_json(path, text) if is_json else frozenset()
    terms = [_term(frame, abbreviations) for frame in _term_frames(path, text, is_json)]
    _refuse_cut(path, terms)

    live = {term.id: term for term in terms if not term.obsolete}
    try:
        return KnowledgeGraph.from_rows(
            concepts=[(term.id, term.name, [term.namespace]) for term in live.values()],
            terms=[(t.id, synonym, "en", scope) for t in live.values() for synonym, scope in t.synonyms],
            is_a=[(term.id, parent) for term in live.values() for parent in term.parents if parent in live],
            relations=[(t.id, kind, tail) for t in live.values() for kind, tail in t.relations if tail in live],
        ).check()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
        if raw.startswith(b"\x1f\x8b"):
            raw = gzip.decompress(raw)
        text = raw.decode("utf-8-sig")
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise ValueError(f"{path}: the gzip data is cut or damaged; {_FETCH_AGAIN}") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 at byte {error.start}; {_FETCH_AGAIN} or convert it") from None
    if not text.strip():
        raise ValueError(f"{path}: the file is empty; {_FETCH_AGAIN}")
    return text


def _abbreviations_of_json(path: Path, text: str) -> frozenset[str]:
    """The synonyms that the JSON marks as abbreviations; fastobo does not keep their type. Checks the outer form."""
    try:
        graphs = json.loads(text)["graphs"]
        return frozenset(
            synonym["val"]
            for graph in graphs
            for node in graph["nodes"]
            for synonym in (node.get("meta") or {}).get("synonyms", ())
            if _is_abbreviation(synonym.get("synonymType"))
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: the JSON breaks off or is damaged at {error}; {_FETCH_AGAIN}") from None
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"{path}: JSON, but not an OBO graph; give an .obo or OBO-graphs .json file") from None


def _is_abbreviation(synonym_type: object) -> bool:
    return "abbreviation" in str(synonym_type).lower()


def _term_frames(path: Path, text: str, is_json: bool) -> Iterator[fastobo.term.TermFrame]:
    load = fastobo.load_graph if is_json else fastobo.load
    try:
        document = load(io.BytesIO(text.encode()))
    except SyntaxError as error:
        raise ValueError(
            f"{path}: not valid OBO at line {error.lineno} ({error.msg}); it may be cut there: {_FETCH_AGAIN}, "
            "or use the ontology's JSON form"
        ) from None
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic inside fastobo is no Exception
        raise ValueError(f"{path}: cannot be parsed as OBO ({error}); {_FETCH_AGAIN}") from None
    return (frame for frame in document if isinstance(frame, fastobo.term.TermFrame))


def _term(frame: fastobo.term.TermFrame, abbreviations: frozenset[str]) -> _Term:
    term = _Term(str(frame.id), str(frame.id).partition(":")[0])
    for clause in frame:
        match clause:
            case fastobo.term.NameClause():
                term.name = clause.name
            case fastobo.term.NamespaceClause():
                term.namespace = str(clause.namespace)
            case fastobo.term.SynonymClause():
                synonym = clause.synonym
                short = synonym.desc in abbreviations or _is_abbreviation(synonym.type)
                term.synonyms.append((synonym.desc, "abbreviation" if short else synonym.scope.lower()))
            case fastobo.term.IsAClause():
                term.parents.append(str(clause.term))
            case fastobo.term.RelationshipClause():
                term.relations.append((str(clause.typedef), str(clause.term)))
            case fastobo.term.IsObsoleteClause():
                term.obsolete = clause.obsolete
    return term


def _refuse_cut(path: Path, terms: list[_Term]) -> None:
    """A file cut at the end of a line still parses: what it lost shows in terms that others point to."""
    if not terms:
        raise ValueError(f"{path}: holds no terms; {_FETCH_AGAIN}, or give an .obo or OBO-graphs .json file")
    defined = {term.id for term in terms}
    for term in terms:
        if not term.name and not term.obsolete:
            raise ValueError(f"{path}: term {term.id} has no name; the file may be cut there: {_FETCH_AGAIN}")
        for parent in term.parents:
            if parent not in defined:
                raise ValueError(
                    f"{path}: {term.id} is_a {parent}, which the file does not define; the file may be cut: "
                    f"{_FETCH_AGAIN}, or use a release that contains its imports"
                )
