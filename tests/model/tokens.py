"""JSON that is kept token for token.

A value is a str (the token of a scalar, as written), a list, or a dict that maps the content of a name to
[name as written, value], in the order of the text.
"""

import json
from decimal import Decimal


def write(value):
    """Compact, tokens as they are."""
    if type(value) is str:
        return value
    if type(value) is dict:
        return "{" + ",".join([token + ":" + write(inner) for token, inner in value.values()]) + "}"
    return "[" + ",".join([write(inner) for inner in value]) + "]"


def copy(value):
    """Lists are never changed, so only objects are copied."""
    return {name: [token, copy(inner)] for name, (token, inner) in value.items()} if type(value) is dict else value


def content(token):
    """What a string token says; None when it is no string."""
    return json.loads(token) if type(token) is str and token[:1] == '"' else None


def member(obj, name):
    """The value, or None when it is not there or null."""
    entry = obj.get(name)
    return None if entry is None or entry[1] == "null" else entry[1]


def merge(target, patch):
    for name, (token, value) in patch.items():
        if value == "null":
            target.pop(name, None)
            continue
        entry = target.get(name)
        if entry is None:
            entry = target[name] = [token, None]
        if type(value) is dict:
            if type(entry[1]) is not dict:
                entry[1] = {}
            merge(entry[1], value)
        else:
            entry[1] = value


def clean(obj):
    cleaned = {}
    merge(cleaned, obj)
    return cleaned


def without_nulls(value):
    """As the state of a save: null members are absent ones, in lists too."""
    if type(value) is dict:
        return {name: [token, without_nulls(inner)] for name, (token, inner) in value.items() if inner != "null"}
    return [without_nulls(inner) for inner in value] if type(value) is list else value


def canonical(text):
    """Two texts are equal JSON values when these are equal: numbers are exact decimals."""
    def number(token):
        return "number", Decimal(token)
    return json.loads(text, parse_int=number, parse_float=number)
