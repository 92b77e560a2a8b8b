"""Where a noun phrase stands in spaCy's tree of its sentence."""

from collections.abc import Container
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

Place: TypeAlias = Literal["subject", "conjunct", "apposition", "object", "clause", "prepositional"]
PLACES: tuple[Place, ...] = get_args(Place)
"""Best first. A clause's nouns are those of "while a dog barks"."""


def shown_by(root: "Token") -> int:
    """The noun that `root` may be the content of: before an "of", or the subject in "the video shows", "opens with"."""
    if root.dep_ == "pobj" and root.head.lower_ == "of":
        return root.head.head.i
    verb = root.head if root.dep_ == "dobj" else root.head.head if root.dep_ == "pobj" else None
    return -1 if verb is None else next((child.i for child in verb.children if child.dep_ == "nsubj"), -1)


def phrase_start(doc: "Doc", head: int, taken: Container[int]) -> int:
    """Where the phrase begins that ends in `head`: its run of determiners, adjectives, numerals and nouns."""
    first = head
    while first and first - 1 not in taken and doc[first - 1].pos_ in ("DET", "ADJ", "NUM", "NOUN", "PROPN"):
        first -= 1
    return first


def place_of(root: "Token") -> Place:
    """The place of the phrase whose root this is; a fragment's head ("a cat on a couch") is its subject."""
    match root.dep_:
        case "ROOT":
            return "subject"
        case "nsubj" | "nsubjpass" | "csubj" | "compound":
            return "clause" if _is_subordinate(root.head) else "subject"
        case "attr" if any(child.dep_ == "expl" for child in root.head.children):
            return "subject"
        case "conj":
            return "conjunct" if place_of(root.head) in ("subject", "conjunct") else place_of(root.head)
        case "appos" | "dep" | "nmod" | "npadvmod" | "punct" | "intj":
            return "apposition"
        case "dobj" | "attr" | "oprd" | "dative" | "ccomp":
            return "clause" if _is_subordinate(root.head) else "object"
    return "prepositional"


def _is_subordinate(verb: "Token") -> bool:
    return _opens_clause(verb) or any(_opens_clause(above) for above in verb.ancestors)


def _opens_clause(verb: "Token") -> bool:
    """Whether it is below another verb; one that is finite without a "while" only seems so."""
    if verb.dep_ == "advcl" and verb.tag_ not in ("VBG", "VBN"):
        return any(child.dep_ == "mark" or child.tag_ == "WRB" for child in verb.children)
    return verb.dep_ in ("advcl", "relcl", "acl", "pcomp")
