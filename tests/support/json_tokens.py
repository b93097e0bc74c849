"""JSON texts taken apart by their tokens, without making values of them: what a text says is compared, not what a
parser makes of it. For texts that are valid; nothing here checks that."""

import json
import re

TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[ \t\n\r]+|[^" \t\n\r{}\[\]:,]+', re.S)
SPACE = b" \t\n\r"


def tokens(text):
    """The tokens of a text in their order, white space between them left out."""
    return [token for token in TOKEN.findall(text) if token[0] not in SPACE]


def compact(text):
    return b"".join(tokens(text))


def _pieces(text):
    """The parts of an object or list between its own commas, each a list of tokens."""
    piece, depth = [], 0
    for token in tokens(text)[1:-1]:
        if token in b"{[":
            depth += 1
        elif token in b"}]":
            depth -= 1
        if token == b"," and depth == 0:
            yield piece
            piece = []
        else:
            piece.append(token)
    if piece:
        yield piece


def members(text):
    """The members of an object: decoded name to the value's text, compact."""
    return {json.loads(piece[0]): b"".join(piece[2:]) for piece in _pieces(text)}


def items(text):
    """The items of a list, compact."""
    return [b"".join(piece) for piece in _pieces(text)]
