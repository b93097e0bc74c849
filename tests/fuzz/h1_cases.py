"""Streams of HTTP/1.1 requests, most of them almost right: what a client, a proxy or an attacker may send.

Each part of a request is drawn from what is usual and, now and then, from what two parsers have been known to read in two
ways. Then some bytes are changed. A case follows from its number and the seed alone.
"""

import random

ODDS = [0, 0.01, 0.02, 0.05]  # of the parts of a request; one for all of a stream
SPOILT = 0.25  # of the streams: some bytes are changed

METHODS = ["GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH"]
ODD_METHODS = ["get", "TRACE", "CONNECT", "PRI", "M-SEARCH", "G(T", "", "GET\t", "P\xd6ST", "G\0T"]
TARGETS = ["/", "/a", "/a?b=c&d", "/%2F%00?%zz", "/a;b=c//d/../e", "http://h/x?y", "/" + "x" * 200]
ODD_TARGETS = ["*", "", "x", "//h/x", "http://other/", "http://h", "HTTP://h/", "https://h:1/", "http://u@h/", "h:80", "/a b",
               "/a\tb",
               "/#a", "/\xc3\xa9", "/\0", "/\x7f", "/" + "x" * 1100, "ftp://h/", "http:///x"]
VERSIONS = ["HTTP/1.1"] * 12 + ["HTTP/1.0"]
ODD_VERSIONS = ["HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "http/1.1", "HTTP/1.1 ", "HTTP/01.1", "HTTP/1.", "HTTP/1", "",
                "HTTP/1.1\t", "HTTP/1.10",
                "HTTQ/1.1", "HTTP/11.1"]
ODD_SPACES = ["  ", "\t", "\x0b", "", "\xa0", "\r"]
ODD_ENDS = ["\n", "\r", "\r\r", "\n\r", "\r\r\n", "\n\r\n", "\r\n\r\n", " \r\n", "\r\n ", "\r\n\t", "\0\r\n", "\x0b\r\n",
            "\x85", "\r \n"]
COLONS = [": ", ":"]
ODD_COLONS = [" : ", ":\t", ": \t  ", " :", "\t:", "", "=", ":\x0b", ":\xa0", "::", ":\0", ":\r\n "]

HOSTS = ["h"] * 8 + ["h:80", "[::1]:80", "H"]
ODD_HOSTS = ["", "h h", "h/x", "u@h", "h:x", "h,h", "h#", "\xc3\xa9", "other", "h:", "[::1"]
CONNECTIONS = ["keep-alive", "close", "Close", "close, x", "keep-alive, close", "x, close", "TE, x", "keep-alive, x"]
ODD_CONNECTIONS = ["upgrade", "clos", "close;x", "", ",", "close\t", "\"close\"", " , close ,", "close,keep-alive"]
PLAIN = [("A", "b"), ("Accept", "*/*"), ("X-Long", "y" * 300), ("Cookie", "a=b; c=d"), ("Content-Type", "application/json"),
         ("X", "\xc3\xa9"), ("Empty", ""), ("TE", "trailers"), ("Trailer", "X"), ("Expect", "100-continue"),
         ("Range", "bytes=0-1")]
ODD_PLAIN = [("A", "b\0c"), ("A", "b\x01"), ("A", "b\x7f"), ("A", "b\rc"), ("A", "b\nc"), ("", "x"), ("A b", "c"),
             ("A\xc3\xa9", "c"),
             ("Expect", "magic"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"), ("Content_Length", "5"),
             ("Content-Length:", "5"), ("X-Huge", "z" * 5000), ("Transfer-Encoding-X", "chunked"),
             ("Content-Encoding", "chunked"),
             ("Proxy-Connection", "close"), ("\"A\"", "b"), ("Content-Length", ""), ("X", "a\r\n b"),
             ("X", "a\r\n\tTransfer-Encoding: chunked")]
LENGTH_NAMES = ["Content-Length"] * 4 + ["content-length", "CONTENT-LENGTH"]
ODD_LENGTH_NAMES = ["Content-Length ", " Content-Length", "Content_Length", "Content-Length\t", "Content-Length\0",
                    "Content-Length\xad",
                    "\x0bContent-Length"]
CODING_NAMES = ["Transfer-Encoding"] * 4 + ["transfer-encoding", "TRANSFER-ENCODING"]
ODD_CODING_NAMES = ["Transfer-Encoding ", " Transfer-Encoding", "Transfer_Encoding", "Transfer-Encoding\t",
                    "Transfer\x00-Encoding", "X\r\n Transfer-Encoding"]
CODINGS = ["chunked"] * 6 + ["Chunked", "CHUNKED"]
ODD_CODINGS = ["chunked, chunked", "gzip, chunked", "chunked, gzip", "identity", "chunked, identity", "identity, chunked",
               "chunked;q=1", "xchunked",
               "chunke", "\x0bchunked", "\"chunked\"", ",chunked", "chunked,", ", chunked", "", "chunked\0", "chunked x",
               "x chunked", "gzip", "deflate",
               "cow", "chunked\r\n , identity", "\xa0chunked", "'chunked'"]
EXTENSIONS = ["", "", "", "", "", ";a", ";a=b", ";a=\"b c\"", ";a;b=1"]
ODD_EXTENSIONS = [" ", " ;a", "; a", ";", ";a\nb", ";a\rb", ";\0", ";a=\"\r\n\"", "\t", ";" + "e" * 300, ";a=\"b", "\x0b",
                  " \t ", ";\xff", ",a", "a;b"]
LAST = ["0"] * 4 + ["00", "000"]
ODD_LAST = ["", "0x0", "-0", "0 ", "00000000000000000"]
TRAILERS = ["", "", "", "", "X: y\r\n", "X: y\r\nZ:\r\n"]
ODD_TRAILERS = ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "X: y\r\n z\r\n", "X\r\n", "X: y\n", ": y\r\n",
                "X : y\r\n", " X: y\r\n", "X: \0\r\n",
                "Host: other\r\n", "\n", "\r", "0\r\n"]
BETWEEN = [""] * 60 + ["\r\n"]
ODD_BETWEEN = ["\r\n\r\n", "\n", " ", "\r", "\0", "\r\n\r\n\r\n", "\n\n", "\t\r\n"]
CONTENTS = ["", "a", "abc", "{\"a\":1}", "0\r\n\r\n", "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n", "\r\n", "\n",
            "5\r\nabcde\r\n0\r\n\r\n",
            "POST /s HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n", "\0\xff\x80", "x" * 500, "y" * 1500,
            "GET / HTTP/1.1\r\nX: "]
BYTES = ["\r", "\n", "\r\n", "\r\n\r\n", " ", "\t", ":", ";", ",", "0", "1", "\0", "\x0b", "\x0c", "\x7f", "\x80", "\xa0",
         "\xff", "chunked", "Content-Length: 1\r\n",
         "Transfer-Encoding: chunked\r\n", "0\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r\n"]


class Maker:
    def __init__(self, seed, number):
        self.random = random.Random("%s:%d" % (seed, number))
        self.odd = self.random.choice(ODDS)

    def pick(self, usual, odd):
        return self.random.choice(odd if self.random.random() < self.odd else usual)

    def end(self):
        return self.random.choice(ODD_ENDS) if self.random.random() < self.odd / 3 else "\r\n"

    def space(self):
        return self.random.choice(ODD_SPACES) if self.random.random() < self.odd / 3 else " "

    def header(self, name, value):
        colon = self.random.choice(ODD_COLONS) if self.random.random() < self.odd / 5 else self.random.choice(COLONS)
        return name + colon + value + self.end()

    def length(self, size):
        roll = self.random.random()
        if roll > self.odd * 2:
            return str(size)
        return self.random.choice([str(size + 1), str(max(0, size - 1)), "+%d" % size, "-%d" % size, "0%d" % size,
                                   "%d, %d" % (size, size), "%d,%d" % (size, size + 1),
                                   "0x%x" % size, " %d" % size, "%d " % size, "%d\t" % size, "%d\0" % size, "%d\x0b" % size,
                                   "", "%d_0" % size, "%d.0" % size, "%de0" % size,
                                   "9" * 24, str(2**64 + size), str(2**32 + size), "\xb2", "%d;" % size, "a",
                                   "%d\r\n %d" % (size, size), "00000000000000000000%d" % size])

    def chunk_size(self, size):
        roll = self.random.random()
        if roll > self.odd:
            return self.random.choice(["%x", "%x", "%X", "0%x", "000%x"]) % size
        return self.random.choice(["0x%x", "-%x", "+%x", " %x", "%x ", "%x\t", "%xg", "%xG", "G%x", "%d.0", "%x\0",
                                   "0000000000000000%x", "1000000000000000%x", "%x_", "\n%x", "%x\x0b", "%x,"]) % size

    def chunked(self, content):
        out, at = [], 0
        while at < len(content):
            size = self.random.randint(1, max(1, len(content) - at))
            said = size if self.random.random() > self.odd / 2 else max(0, size + self.random.choice([-1, 1, 2]))
            out.append(self.chunk_size(said) + self.pick(EXTENSIONS, ODD_EXTENSIONS) + self.end())
            out.append(content[at:at + size] + self.end())
            at += size
        last = self.random.choice(ODD_LAST if self.random.random() < self.odd / 2 else LAST)
        out.append(last + self.pick(EXTENSIONS, ODD_EXTENSIONS) + self.end())
        out.append(self.pick(TRAILERS, ODD_TRAILERS) + self.end())
        return "".join(out)

    def framing(self):
        """Headers that say how long the body is, and the body."""
        content = self.random.choice(CONTENTS)
        coded = self.chunked(content)
        length = (self.pick(LENGTH_NAMES, ODD_LENGTH_NAMES), self.length(len(content)))
        coding = (self.pick(CODING_NAMES, ODD_CODING_NAMES), self.pick(CODINGS, ODD_CODINGS))
        roll = self.random.random()
        if roll < 0.35:
            return [], ""
        if roll < 0.6:
            return [length], content
        if roll < 0.9:
            return [coding], coded
        if roll < 0.92:
            return [length, (length[0], self.length(len(content)))], content
        if roll < 0.94:
            return [coding, (coding[0], self.pick(CODINGS, ODD_CODINGS))], coded
        if roll < 0.97:
            return [(length[0], str(len(coded))), coding], coded
        return [coding, length], self.random.choice([content, coded])

    def request(self):
        framing, body = self.framing()
        headers = [("Host", self.pick(HOSTS, ODD_HOSTS))] if self.random.random() > 0.03 else []
        headers += [self.pick(PLAIN, ODD_PLAIN) for _ in range(self.random.choice([0, 0, 1, 1, 2, 3]))]
        if self.random.random() < 0.15:
            headers.append(("Connection", self.pick(CONNECTIONS, ODD_CONNECTIONS)))
        if self.random.random() < 0.01:
            headers += [("Connection", self.pick(CONNECTIONS, ODD_CONNECTIONS))] * 2 + [("Host", "h")]
        if self.random.random() < 0.01:
            headers += [("N%d" % n, "v") for n in range(self.random.choice([16, 40]))]
        headers += framing
        self.random.shuffle(headers)
        line = (self.pick(METHODS, ODD_METHODS) + self.space() + self.pick(TARGETS, ODD_TARGETS) + self.space() +
                self.pick(VERSIONS, ODD_VERSIONS) + self.end())
        return line + "".join(self.header(*header) for header in headers) + self.end() + body

    def spoil(self, text):
        for _ in range(self.random.randint(1, 3)):
            at = self.random.randrange(len(text) + 1)
            to = min(len(text), at + self.random.choice([0, 1, 1, 2, 8, 40]))
            how = self.random.randrange(5)
            if how == 0:
                text = text[:at] + text[to:]
            elif how == 1:
                text = text[:at] + self.random.choice(BYTES) + text[at:]
            elif how == 2:
                text = text[:at] + self.random.choice(BYTES) + text[at + 1:]
            elif how == 3:
                text = text[:to] + text[at:]
            else:
                text = text[:at]
        return text

    def stream(self):
        text = "".join(self.pick(BETWEEN, ODD_BETWEEN) + self.request() for _ in range(self.random.choice([1, 2, 2, 3, 4])))
        if self.random.random() < SPOILT:
            text = self.spoil(text)
        return text.encode("latin-1")

    def pieces(self, stream):
        """The stream as it is sent: whole, in a few pieces, or byte by byte."""
        how = self.random.random()
        if how < 0.3 or len(stream) < 2:
            return [stream]
        if how < 0.9:
            cuts = sorted(self.random.randrange(1, len(stream)) for _ in range(self.random.choice([1, 2, 5])))
            return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)]) if b > a]
        start = self.random.randrange(len(stream))
        some = stream[start:start + 40]
        return [part for part in [stream[:start], *[some[i:i + 1] for i in range(len(some))], stream[start + 40:]] if part]


def case(seed, number):
    """(the stream, the pieces it is sent in)"""
    maker = Maker(seed, number)
    stream = maker.stream()
    return stream, maker.pieces(stream)
