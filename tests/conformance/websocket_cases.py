"""What a WebSocket server must answer (RFC 6455), as data: the bytes of a client and the frames that come back.

A case is (name, bytes, answers); an answer is ("text", data), ("binary", data), ("pong", data) or ("close", code or None).
After a close the server ends the connection. Where none is listed the connection must still be usable.
"""

import itertools
import struct

MAX_MESSAGE = 16 << 20


def frame(opcode, data=b"", fin=True, rsv=0, mask=b"\x37\xfa\x21\x3d", length=None):
    """A client's frame; `length` lies about the payload's size, mask=None leaves the mask out."""
    size = len(data) if length is None else length
    head = bytes([fin << 7 | rsv << 4 | opcode])
    bit = 0x80 if mask else 0
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", size)
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", size)
    if not mask:
        return head + data
    key = (mask * (len(data) // 4 + 1))[:len(data)]
    return head + mask + (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(len(data), "big")


def text(data, **more):
    return frame(1, data if isinstance(data, bytes) else data.encode(), **more)


def binary(data, **more):
    return frame(2, data, **more)


def more(data, fin):
    return frame(0, data, fin=fin)


def close(code=None, reason=b""):
    return frame(8, b"" if code is None else struct.pack(">H", code) + reason)


def ping(data=b""):
    return frame(9, data)


def pong(data=b""):
    return frame(10, data)


BAD = [("close", 1002)]
NOT_TEXT = [("close", 1007)]


def framing():
    for size in (0, 1, 2, 125, 126, 127, 128, 65535, 65536, 65537, 300000):
        yield f"text of {size} bytes", text("*" * size), [("text", b"*" * size)]
        yield f"binary of {size} bytes", binary(b"\xfe" * size), [("binary", b"\xfe" * size)]
    yield "a mask of zeros", text("zero", mask=bytes(4)), [("text", b"zero")]
    yield "three messages in one write", text("a") + binary(b"b") + text("c"), [("text", b"a"), ("binary", b"b"), ("text", b"c")]
    yield "a frame without a mask", text("x", mask=None), BAD
    yield "an empty frame without a mask", text("", mask=None), BAD
    yield "a ping without a mask", frame(9, b"", mask=None), BAD
    yield "16-bit form of a short length", b"\x81\xfe\x00\x05" + b"mask" + b"hello", BAD
    yield "64-bit form of a 16-bit length", b"\x82\xff" + struct.pack(">Q", 65535), BAD
    yield "the highest bit of a length", b"\x82\xff" + struct.pack(">Q", 1 << 63), BAD


def pings():
    yield "an empty ping", ping(), [("pong", b"")]
    yield "a ping with text", ping(b"hello"), [("pong", b"hello")]
    yield "a ping with any bytes", ping(b"\x00\xff\xfe\xfd\xfc"), [("pong", b"\x00\xff\xfe\xfd\xfc")]
    yield "a ping of 125 bytes", ping(b"\xfe" * 125), [("pong", b"\xfe" * 125)]
    yield "a ping of 126 bytes", ping(b"\xfe" * 126), BAD
    yield "an unasked pong", pong() + text("x"), [("text", b"x")]
    yield "an unasked pong with a payload", pong(b"pay") + ping(b"p"), [("pong", b"p")]
    yield "ten pings", b"".join(ping(b"%d" % i) for i in range(10)), [("pong", b"%d" % i) for i in range(10)]
    yield "a ping in parts", frame(9, b"a", fin=False), BAD
    yield "a pong in parts", frame(10, b"a", fin=False), BAD
    yield "a pong of 126 bytes", pong(b"x" * 126), BAD


def reserved():
    for rsv in range(1, 8):
        yield f"reserved bits {rsv:03b} in a text", text("x", rsv=rsv), BAD
        yield f"reserved bits {rsv:03b} after a message", text("ok") + text("x", rsv=rsv), [("text", b"ok"), *BAD]
    yield "a reserved bit in a ping", frame(9, b"x", rsv=4), BAD
    yield "a reserved bit in a close", frame(8, b"", rsv=1), BAD
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        yield f"opcode {opcode}", frame(opcode), BAD
        yield f"opcode {opcode} with a payload, after a message", text("ok") + frame(opcode, b"x"), [("text", b"ok"), *BAD]


def fragments():
    yield "a text in two parts", text("frag", fin=False) + more(b"ment", True), [("text", b"fragment")]
    yield "a binary in two parts", binary(b"\x00", fin=False) + more(b"\xff", True), [("binary", b"\x00\xff")]
    yield "a text in 50 parts", text("0", fin=False) + b"".join(more(b"1", False) for _ in range(48)) + more(b"2", True), \
        [("text", b"0" + b"1" * 48 + b"2")]
    yield "parts without bytes", text("", fin=False) + more(b"", False) + more(b"", True), [("text", b"")]
    yield "bytes in the middle part only", text("", fin=False) + more(b"middle", False) + more(b"", True), [("text", b"middle")]
    yield "a ping between parts", text("a", fin=False) + ping(b"p") + more(b"b", True), [("pong", b"p"), ("text", b"ab")]
    yield "pings and pongs between parts", \
        text("a", fin=False) + ping(b"1") + more(b"b", False) + pong(b"x") + ping(b"2") + more(b"c", True), \
        [("pong", b"1"), ("pong", b"2"), ("text", b"abc")]
    yield "a close between parts", text("a", fin=False) + close(1000), [("close", 1000)]
    yield "a continuation of nothing", more(b"x", True), BAD
    yield "an unfinished continuation of nothing", more(b"x", False), BAD
    yield "a continuation after a whole message", text("ok") + more(b"x", True), [("text", b"ok"), *BAD]
    yield "a text inside a text", text("a", fin=False) + text("b"), BAD
    yield "a binary inside a text", text("a", fin=False) + binary(b"b"), BAD
    yield "a text inside a binary", binary(b"a", fin=False) + text("b", fin=False), BAD
    yield "two messages in parts", (text("a", fin=False) + more(b"b", True)) * 2, [("text", b"ab")] * 2


GOOD_TEXTS = ["Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\x00", "\x7f", "\x80", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\ufffd", "\ufffe",
              "\uffff", "\U00010000", "\U0001fffe", "\U0010ffff", "日本語", "😀" * 40, "\ufeffbom"]
BAD_TEXTS = [b"\x80", b"\xbf", b"\x80\xbf", b"\xc0", b"\xc1\x81", b"\xc0\xaf", b"\xc0\x80", b"\xe0\x80\xaf", b"\xe0\x9f\xbf", b"\xf0\x80\x80\xaf",
             b"\xf0\x8f\xbf\xbf", b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80", b"\xfe", b"\xff", b"\xfe\xfe\xff\xff", b"\xed\xa0\x80",
             b"\xed\xad\xbf", b"\xed\xbf\xbf", b"\xed\xa0\x80\xed\xb0\x80", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xf7\xbf\xbf\xbf",
             b"ok\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", b"\xc3(", b"\xe2\x82(", b"\xf0\x9f\x98(", b"a\xffb"]
CUT_TEXTS = [b"\xc3", b"\xe2", b"\xe2\x82", b"\xf0", b"\xf0\x9f", b"\xf0\x9f\x98", b"good \xce"]


def utf8():
    for good in GOOD_TEXTS:
        data = good.encode()
        yield f"the text {data[:8].hex()}", text(data), [("text", data)]
        parts = [data[i:i + 1] for i in range(len(data))]
        yield f"the text {data[:8].hex()} byte by byte", \
            frame(1, b"", fin=False) + b"".join(more(p, False) for p in parts) + more(b"", True), [("text", data)]
    for bad in BAD_TEXTS:
        yield f"no text: {bad.hex()}", text(bad), NOT_TEXT
        yield f"no text, before it is whole: {bad.hex()}", text(b"fine ", fin=False) + more(bad, False), NOT_TEXT
    for cut in CUT_TEXTS:
        yield f"a text that ends inside a character: {cut.hex()}", text(cut), NOT_TEXT
        yield f"the same in parts: {cut.hex()}", text(b"a", fin=False) + more(cut, False) + more(b"", True), NOT_TEXT
    yield "any bytes are a binary", binary(b"".join(BAD_TEXTS)), [("binary", b"".join(BAD_TEXTS))]
    yield "a ping inside a character", text(b"\xe2", fin=False) + ping(b"p") + more(b"\x82\xac", True), [("pong", b"p"), ("text", "€".encode())]


def closing():
    yield "a close without a code", close(), [("close", None)]
    yield "a close of one byte", frame(8, b"\x03"), BAD
    yield "a close with a reason", close(1000, b"bye"), [("close", 1000)]
    yield "a close with the longest reason", close(1000, b"*" * 123), [("close", 1000)]
    yield "a close with a reason too long", close(1000, b"*" * 124), BAD
    yield "a close with a reason that is no text", close(1000, b"\xce\xba\xed\xa0\x80"), NOT_TEXT
    yield "a close with a reason that is cut", close(1000, b"\xe2\x82"), NOT_TEXT
    yield "a close in parts", frame(8, b"", fin=False), BAD
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
        yield f"close code {code}", close(code), [("close", code)]
    for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
        yield f"close code {code}, which may not be sent", close(code), BAD
    yield "a message after the close", close(1000) + text("late"), [("close", 1000)]
    yield "a ping after the close", close(1000) + ping(b"late"), [("close", 1000)]
    yield "two closes", close(1000) + close(1001), [("close", 1000)]
    yield "a message before the close", text("x") + close(1000), [("text", b"x"), ("close", 1000)]
    yield "an unfinished message before the close", text("x", fin=False) + close(1001), [("close", 1001)]
    yield "nonsense after an error", text("x", rsv=1) + b"\xff" * 100, BAD


def limits():
    yield "a frame above the limit", binary(b"", length=MAX_MESSAGE + 1), [("close", 1009)]
    yield "a frame far above the limit", binary(b"", length=(1 << 63) - 1), [("close", 1009)]
    yield "parts above the limit together", text("x", fin=False) + frame(0, b"", length=MAX_MESSAGE), [("close", 1009)]
    yield "2,000 small messages", b"".join(text(f"{i}") for i in range(2000)), [("text", b"%d" % i) for i in range(2000)]


CASES = list(itertools.chain(framing(), pings(), reserved(), fragments(), utf8(), closing(), limits()))

KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
ASK = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
VERSION = "Sec-WebSocket-Version: 13\r\n"
# (name, method, version, lines, status): the opening handshake. 200: an ordinary request, answered as one.
HANDSHAKES = [
    ("plain", "GET", "1.1", ASK + VERSION + KEY, 101),
    ("names in lower case", "GET", "1.1", (ASK + VERSION + KEY).lower().replace("dghlihnhbxbszsbub25jzq", "dGhlIHNhbXBsZSBub25jZQ"), 101),
    ("upper case", "GET", "1.1", "CONNECTION: UPGRADE\r\nUPGRADE: WEBSOCKET\r\n" + VERSION + KEY, 101),
    ("several options", "GET", "1.1", "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n" + VERSION + KEY, 101),
    ("several protocols", "GET", "1.1", "Connection: Upgrade\r\nUpgrade: other/2, websocket\r\n" + VERSION + KEY, 101),
    ("an extension", "GET", "1.1", ASK + VERSION + KEY + "Sec-WebSocket-Extensions: permessage-deflate\r\n", 101),
    ("a subprotocol", "GET", "1.1", ASK + VERSION + KEY + "Sec-WebSocket-Protocol: chat, superchat\r\n", 101),
    ("an origin", "GET", "1.1", ASK + VERSION + KEY + "Origin: http://elsewhere\r\n", 101),
    ("no key", "GET", "1.1", ASK + VERSION, 400),
    ("an empty key", "GET", "1.1", ASK + VERSION + "Sec-WebSocket-Key: \r\n", 400),
    ("a short key", "GET", "1.1", ASK + VERSION + "Sec-WebSocket-Key: YWJj\r\n", 400),
    ("a long key", "GET", "1.1", ASK + VERSION + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTEyMw==\r\n", 400),
    ("a key that is not base64", "GET", "1.1", ASK + VERSION + "Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!==\r\n", 400),
    ("no version", "GET", "1.1", ASK + KEY, 426),
    ("version 8", "GET", "1.1", ASK + "Sec-WebSocket-Version: 8\r\n" + KEY, 426),
    ("version 130", "GET", "1.1", ASK + "Sec-WebSocket-Version: 130\r\n" + KEY, 426),
    ("POST", "POST", "1.1", ASK + VERSION + KEY, 400),
    ("no Connection", "GET", "1.1", "Upgrade: websocket\r\n" + VERSION + KEY, 200),
    ("another option", "GET", "1.1", "Connection: keep-alive\r\nUpgrade: websocket\r\n" + VERSION + KEY, 200),
    ("no Upgrade", "GET", "1.1", "Connection: upgrade\r\n" + VERSION + KEY, 200),
    ("another protocol", "GET", "1.1", "Connection: upgrade\r\nUpgrade: other\r\n" + VERSION + KEY, 200),
    ("h2c", "GET", "1.1", "Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n", 200),
    ("HTTP/1.0", "GET", "1.0", ASK + VERSION + KEY, 200),
    ("no Host", "GET", "1.1", None, 400),
]
