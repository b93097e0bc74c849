"""Hostile but allowed ids, ids that must be refused, payloads that tempt a parser to convert them, and other people's
JSON files."""

import os
import pathlib

from support.strata_service import ROOT

IDS = [
    # Percent-encodings that must be decoded once and never twice.
    "%", "%%", "%2", "%zz", "%2F", "%252F", "%2e%2e", "%00", "%C3%A9", "a%2Fb", "100%",
    # What has a meaning in a path or a query.
    "+", "a+b", "%2B", ";", "a;b=c", "a/b", "/", "//", "/a", "a/", "a//b", "a/../b", "../a", "a/..", "a/./b", "..a",
    "...", "a.", "?", "a?b=c", "#", "a#b", "&", "a=b&c=d", "=", ":", "a:b", ",", "a,b", "@", "~", "-", "_", "*",
    "!$'()*+,;=", "a$",
    # What has a meaning in JSON, in a template, a log line, a shell or HTML.
    '"', 'a"b', "\\", "a\\b", "\\u0041", "{", "}", "{id}", "[0]", "<a>", "</script>", "|", "^", "`", "x${y}", "x$(y)",
    # Words of the routes and of other languages.
    "id", "latest", "aggregate", "subscribe", "events", "null", "true", "0", "-1", "1e400", "undefined",
    # UTF-8: composed and decomposed are two ids, and so are the cases.
    "\u00e9", "e\u0301", "\u00df", "SS", "ss", "\u0130", "\u65e5\u672c", "\ufeff", "\u200b", "a\u202eb", "\u2064",
    # Four bytes each, up to the last code point.
    "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U00010000", "\U0010ffff", "\ufffd",
    # 255 bytes.
    "x" * 255, "%" * 255, "/" * 255, "+" * 255, "\U0001f600" * 63 + "xyz", "\u00e9" * 127 + "/", '"' * 255, "\\" * 255,
]

REFUSED_IDS = [
    ".", "..", "$a", "$", "a b", " a", "a ", "a\tb", "a\nb", "a\rb", "a\x00b", "\x00", "a\x1fb", "a\x7fb", "a\u0085b", "a\u009fb",
    "a\u00a0b", "a\u1680b", "a\u2003b", "a\u2028b", "a\u2029b", "a\u202fb", "a\u205fb", "a\u3000b", "x" * 256, "\u00e9" * 128,
    "\U0001f600" * 64,
]

# Objects, as a client may write them; with their white space.
PAYLOADS = [
    b'{"a":10.10,"b":1e400,"c":9223372036854775809,"d":18446744073709551616}',
    b'{"a":-0,"b":-0.0,"c":0.0,"d":0e0,"e":0E-0,"f":1E+2,"g":1e2,"h":100,"i":1e-400,"j":123456789012345678901234567890}',
    b'{"a":9007199254740993,"b":9223372036854775807,"c":-9223372036854775808,"d":-9223372036854775809,"e":4.0,"f":4.00}',
    b'{"n":' + b"9" * 1000 + b',"m":0.' + b"1" * 998 + b"}",
    b'{"\\u0041":"\\u0041","a":"\\/","b":"/","c":"\\u00e9","d":"\xc3\xa9","e":"e\xcc\x81"}',
    b'{"a":"\\ud83d\\ude00","b":"\xf0\x9f\x98\x80","c":"\\uD83D\\uDE00","d":"\\u0000","e":"\\u001F","f":"\x7f","g":"\\uFFFF"}',
    b'{"a":"\\b\\f\\n\\r\\t\\"\\\\","b":"\\u2028","c":"\xe2\x80\xa8\xe2\x80\xa9","d":"</script><!--","e":"data: x\\n\\nevent: y"}',
    b'{"":1," ":2,"__proto__":{"x":1},"constructor":3,"z":1,"a":2,"Z":3,"A":4,"\xf0\x9f\x98\x80":5,"\\ud83d\\ude01":6}',
    b' { "b" : [ 1 , 2.50 , { } , [ ] , null , true , false ] ,\r\n\t"a" : { "c" : "a b , : { } [ ]" } } ',
    b'{"deep":' + b"[" * 63 + b"1.0" + b"]" * 63 + b"}",
    b'{"deep":' + b'{"a":' * 62 + b"{}" + b"}" * 62 + b"}",
    b"{" + b",".join(b'"k%d":%d.%02d' % (n, n, n % 100) for n in range(2000, 0, -1)) + b"}",
    b'{"long":"' + b"\xf0\x9f\x98\x80\\u00e9" * 20000 + b'"}',
    b"{}",
    b"{ }",
]

REFUSED_PAYLOADS = [
    b'{"a":1,"a":2}', b'{"a":1,"\\u0061":2}', b'{"x":{"\xf0\x9f\x98\x80":1,"\\ud83d\\ude00":2}}', b'{"a":"\xff"}', b'{"a":"\xc0\x80"}',
    b'{"a":"\xed\xa0\x80"}', b'{"a":"\xf4\x90\x80\x80"}', b'{"a":"\\ud800"}', b'{"a":"\\udc00\\ud800"}', b'{"a":"\\ud800\\u0041"}',
    b'{"n":' + b"9" * 1001 + b"}", b'{"deep":' + b"[" * 64 + b"]" * 64 + b"}", b"[]", b"1", b'"a"', b"true", b'{"a":NaN}',
    b'{"a":Infinity}', b'{"a":01}', b'{"a":1.}', b'{"a":.5}', b'{"a":+1}', b'{"a":0x10}', b"{'a':1}", b"{a:1}", b'{"a":1,}',
    b'{"a":1}{}', b'{"a":"\t"}', b'{"a":"\x00"}', b"\xef\xbb\xbf{}", b'{"a":1}\x00', b"{} x", b'{"a":\x0b1}', b'{"a":1/**/}',
]

# RFC 8259 only warns of duplicate names; here they are refused.
REFUSED_ON_PURPOSE = ("y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json")


def json_suite():
    """(name, text, must) of each file of JSONTestSuite's test_parsing: must is True, False or None, where it is the
    implementation's choice. None instead of a list when the folder is missing and STRATA_SHARED does not name it."""
    shared = os.environ.get("STRATA_SHARED")
    folder = pathlib.Path(shared or ROOT.parent / "shared") / "data/json-test-suite/test_parsing"
    if not shared and not folder.is_dir():
        return None
    found = []
    for file in sorted(folder.iterdir()):
        must = {"y": True, "n": False, "i": None}[file.name[0]]
        found.append((file.name, file.read_bytes(), False if file.name in REFUSED_ON_PURPOSE else must))
    if len(found) < 300:
        raise RuntimeError("%s holds only %d files; the suite has more than 300" % (folder, len(found)))
    return found
