"""Whether a string that should name a clinical concept looks like a person's name, a date or a record number.

What a language model may copy out of a note, after the identifiers of HIPAA's safe harbor (45 CFR 164.514(b)(2)):
names, dates finer than a year, telephone, record and social security numbers, e-mail addresses. Eponyms are no people:
a name before "syndrome" or "test" stays. A surname or given name alone cannot be told from an eponym and stays too.
"""

import re
from functools import cache
from importlib.resources import files

import yaml

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    r"nov(?:ember)?|dec(?:ember)?)\.?"
)
_YEAR, _DD, _MM = r"(?:19|20)\d\d", r"(?:3[01]|[12]\d|0?[1-9])", r"(?:1[0-2]|0?[1-9])"
_DAY = rf"{_DD}(?:st|nd|rd|th)?"
_DATE = "|".join(
    (
        rf"\b{_MONTH}[\s,/-]*(?:of\s+)?(?:{_YEAR}|['’]\d\d)\b",
        rf"\b{_YEAR}[\s,/-]*{_MONTH}(?!\w)",
        rf"\b{_MONTH}\s+{_DAY}\b",
        rf"\b{_DAY}[\s-]*(?:of\s+)?{_MONTH}(?![^\W\d_])",
        rf"(?<![\w/.]){_YEAR}[/.-]{_MM}(?:[/.-]{_DD})?(?![\w/])",
        rf"(?<![\w/.])(?:{_MM}[/.-]{_DD}|{_DD}[/.-]{_MM})[/.-]{_YEAR}(?!\w)",
        *(rf"(?<![\w/.-])(?:{_MM}{s}{_DD}|{_DD}{s}{_MM}){s}\d\d(?![\w/])" for s in "/-"),
        rf"(?<![\w/.-]){_MM}[/-]{_YEAR}(?![\w/])",
    )
)
_NUMBER = "|".join(
    (
        r"\S@\w[\w-]*\.\w",
        r"(?<![\w-])\d{3}-\d\d-\d{4}(?![\w-])",
        r"(?<!\d)(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}(?!\d)",
        r"(?<![\w-])\d{3}-\d{4}(?![\w-])",
        r"\b(?:mrn|ssn|dob|(?:medical )?record|chart|acc(?:oun)?t|accession|encounter|patient id)\b"
        r"[\s.:#]*(?:(?:no|num|number|id)\b[\s.:#]*)?[a-z-]{0,3}\d{2}",
        r"(?:#\s?|\b(?:id|no|pt|patient|visit)[\s.:#]*\d)\d{4}",
        # Neither the code of a drug (PF-06463922, GSK 2696273) nor a dose
        r"(?<![\w/])" + "".join(rf"(?<!\b[a-z]{{{n}}}-)(?<!\b(?-i:[A-Z]{{{n}}}) )" for n in range(1, 5)) + r"\d{6,}"
        r"(?![a-z\d/]|\s?(?:%|units?\b|[iu]u?\b|mc?g\b|mw\b))",
    )
)
_IDENTIFYING = re.compile(f"{_DATE}|{_NUMBER}", re.IGNORECASE)
_TITLED = re.compile(
    r"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof)\b\.?\s+[A-Z]|\b(?i:mrs?|ms|dr|prof)\.\s?[A-Za-z]{2}|\b(?i:patient name)\b"
)
_WORD = r"(?:[^\W\d_]['’])?[^\W\d_]{2,}(?:['’-][^\W\d_]+)*"
_TWO_NAMES = re.compile(rf"(?<![\w'’-])(?=({_WORD})\s+(?:[A-Za-z]\.?\s+)?({_WORD})(?:\s+({_WORD}))?)")
_LAST_FIRST = re.compile(rf"({_WORD}),\s*({_WORD})(?:\s+[A-Z]\.?)?")
_CLINICAL_ENDING = re.compile(
    r"(?:itis|[aeo]sis|emia|uria|oma|omas|pathy|ectomy|otomy|ostomy|plasty|scopy|graphy|gram|algia|penia|plegia|trophy|"
    r"plasia|ine|ide|ate|mab|nib|ol|azole|illin|mycin|statin|vir|ic|ous|oid)$"
)


@cache
def _words(key: str) -> frozenset[str]:
    lists = yaml.load((files(__package__) / "identifying.yaml").read_text("utf-8"), Loader=yaml.CSafeLoader)
    return frozenset(lists[key] if isinstance(lists[key], list) else lists[key].split())


def looks_identifying(text: str) -> bool:
    """Whether `text` holds what may identify a person: a name with its title or its given name, a date, a number."""
    return bool(_IDENTIFYING.search(text) or _TITLED.search(text)) or _names_a_person(text)


def _names_a_person(text: str) -> bool:
    if swapped := _LAST_FIRST.fullmatch(text.strip()):
        return _is_person(swapped[2], swapped[1], "")
    return any(_is_person(pair[1], pair[2], pair[3] or "") for pair in _TWO_NAMES.finditer(text))


def _is_person(first: str, last: str, behind: str) -> bool:
    """Whether two words are a given name and a surname; `behind` is the word that follows them."""
    given, surname = first.lower(), re.sub(r"['’]s?$", "", last.lower())
    if given in _words("first_names"):
        known = surname in _words("surnames") or not behind or (first[0].isupper() and last[0].isupper())
    else:
        known = given in _words("words_that_are_first_names") and surname in _words("surnames")
    return (
        known
        and f"{given} {surname}" not in _words("eponyms")
        and not any(map(_is_clinical, (surname, behind.lower())))
    )


def _is_clinical(word: str) -> bool:
    return word in _words("clinical_words") or (
        len(word) > 5 and word not in _words("surnames") and _CLINICAL_ENDING.search(word) is not None
    )
