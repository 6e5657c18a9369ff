"""Valid files made wrong in a few places: what they get past, random bytes never reach."""

import io
import random
import re
import struct
import zipfile
from collections.abc import Callable

_NUMBERS = (
    b"0", b"-1", b"1", b"2", b"7", b"255", b"65536", b"2147483647", b"2147483648", b"-9223372036854775808",
    b"9223372036854775807", b"1e30", b"1e308", b"1e999", b"-1e999", b"nan", b"inf", b"-inf", b"1e-320", b"0.5",
    b"-0.0", b"90.0001", b"1D400", b"999999999999999999999999999999", b"0x10", b"1_0", b"",
)  # fmt: skip
_WORDS = (
    b"", b"'", b'"', b"''", b"T", b"F", b"null", b"None", b"true", b"NaN", b"{}", b"[]", b"[[", b"}", b",", b";",
    b"\t", b"\n", b"\r", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", "ü".encode(), "\U0001f30c".encode(), "\u202e".encode(),
    b"../../etc/passwd", b"<script>", b"&lol;", b"%s%n", b"A" * 5000, b"[" * 3000, b"{'a':" * 800,
    b"<!ENTITY x SYSTEM 'file:///etc/passwd'>",
)  # fmt: skip
_CARD_VALUES = (
    "0", "1", "-1", "2", "3", "8", "16", "32", "64", "-32", "-64", "999", "1000000", "2147483647", "4294967296",
    "9999999999999", "99999999999999999999", "1E300", "-1E300", "1E-300", "0.0", "NAN", "INF", "T", "F", "''", "'X'",
    "'RA---TAN'", "'DEC--TAN'", "'RA---CAR'", "'GLAT-AIT'", "'RA---ZPN'", "'RA---TPV'", "'RA---TAN-SIP'",
    "'DEC--TAN-SIP'", "'HPLN-TAN'", "'RA---HPX'", "'GLON-TSC'", "'deg'", "'furlong'", "'m/s**'", "'BINTABLE'",
    "'IMAGE'", "'1E'", "'0A'", "'1024E'", "'999999999E'", "'1PE(9)'", "'RICE_1'", "'GZIP_2'", "'HCOMPRESS_1'",
    "'PLIO_1'", "'NOCOMPRESS'", "'NESTED'", "'RING'", "'GALACTIC'", "'FK4'", "(1,2)", "", "'unclosed",
)  # fmt: skip
_CARD_NAMES = (
    "NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "BITPIX", "GCOUNT", "PCOUNT", "TFIELDS", "EXTEND", "SIMPLE", "XTENSION",
    "BSCALE", "BZERO", "BLANK", "CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2", "CRPIX1", "CDELT1", "CDELT2", "CD1_1",
    "CD2_1", "PC1_1", "PC1_2", "CUNIT1", "LONPOLE", "LATPOLE", "PV2_1", "PV1_1", "EQUINOX", "RADESYS", "WCSAXES",
    "A_ORDER", "B_ORDER", "A_2_0", "CPDIS1", "DP1", "EPOCH", "MJD-OBS", "TFORM1", "TTYPE1", "TDIM1", "TSCAL1",
    "TZERO1", "TNULL1", "TUNIT1", "ZBITPIX", "ZNAXIS", "ZNAXIS1", "ZNAXIS2", "ZTILE1", "ZCMPTYPE", "ZIMAGE", "ZNAME1",
    "ZVAL1", "NSIDE", "ORDERING", "COORDSYS", "MOCORDER", "MOCVERS", "BUNIT", "BAND", "EXTNAME", "THEAP", "GROUPS",
    "CONTINUE", "END", "CHECKSUM", "DATASUM",
)  # fmt: skip


def mutate(rng: random.Random, content: bytes, kind: str) -> bytes:
    """``content`` with one to four random changes. ``kind``: binary, text, fits, or zip (within its members too)."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        content = _CHANGES[kind](rng, content)
    return content


def _in_bytes(rng: random.Random, content: bytes) -> bytes:
    data = bytearray(content)
    at = rng.randrange(len(data) + 1)
    length = rng.choice((1, 2, 4, 8, rng.randrange(1, 200)))
    match rng.randrange(8):
        case 0:
            for _ in range(rng.randrange(1, 9)):
                if data:
                    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case 1:
            data[at : at + length] = rng.randbytes(length)
        case 2:
            del data[at : at + length]
        case 3:
            data[at:at] = data[at : at + length]
        case 4:
            number = rng.choice((0, 1, -1, 2**31 - 1, 2**31, 2**63 - 1, 255, 65535, 2**40))
            order, size = rng.choice("<>"), rng.choice("HIQ")
            packed = struct.pack(order + size, number % 2 ** (8 * struct.calcsize(size)))
            data[at : at + len(packed)] = packed
        case 5:
            del data[at:]
        case 6:
            other = rng.randrange(len(data) + 1)
            data[at : at + length] = content[other : other + length]
        case 7:
            data[at : at + length] = bytes([rng.choice((0, 32, 255))]) * length
    return bytes(data)


def _in_text(rng: random.Random, content: bytes) -> bytes:
    lines = content.split(b"\n")
    match rng.randrange(7):
        case 0 | 1:
            numbers = list(re.finditer(rb"-?\d+(\.\d+)?", content))
            if numbers:
                found = rng.choice(numbers)
                return content[: found.start()] + rng.choice(_NUMBERS) + content[found.end() :]
        case 2:
            at = rng.randrange(len(content) + 1)
            return content[:at] + rng.choice(_WORDS) + content[at + rng.choice((0, 0, 1, 5)) :]
        case 3:
            words = list(re.finditer(rb"[\w]+", content))
            if words:
                found = rng.choice(words)
                other = rng.choice((rng.choice(_WORDS), rng.choice(words)[0], found[0] * 2))
                return content[: found.start()] + other + content[found.end() :]
        case 4:
            del lines[rng.randrange(len(lines))]
        case 5:
            line = rng.choice(lines)
            lines[rng.randrange(len(lines)) : 0] = [line] * rng.choice((1, 2, 50))
        case 6:
            return _in_bytes(rng, content)
    return b"\n".join(lines)


def _in_fits(rng: random.Random, content: bytes) -> bytes:
    cards = [at for at in range(0, len(content) - 79, 80) if content[at + 8 : at + 10] == b"= "]
    if not cards or rng.random() < 0.25:
        return _in_bytes(rng, content)
    at = rng.choice(cards)
    card = content[at : at + 80]
    match rng.randrange(6):
        case 0 | 1 | 2:
            card = card[:10] + rng.choice(_CARD_VALUES).rjust(20).encode().ljust(70)
        case 3:
            card = f"{rng.choice(_CARD_NAMES):8}= {rng.choice(_CARD_VALUES):>20}".encode().ljust(80)
        case 4:
            other = rng.choice(cards)
            card = content[other : other + 80]
        case 5:
            card = rng.choice((b" " * 80, b"END".ljust(80), card[:8] + b"  " + card[10:], rng.randbytes(80)))
    return content[:at] + card[:80] + content[at + 80 :]


def _in_zip(rng: random.Random, content: bytes) -> bytes:
    if rng.random() < 0.4:
        return _in_bytes(rng, content)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
    except Exception:  # an earlier change has broken it
        return _in_bytes(rng, content)
    if not members:
        return content
    name = rng.choice(list(members))
    changed = (_in_text if name.endswith(".csv") else _in_bytes)(rng, members[name])
    if rng.random() < 0.1:
        members[rng.choice(("../x", "/x", "C:\\x", "a" * 300))] = members.pop(name)
    else:
        members[name] = changed
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return packed.getvalue()


_CHANGES: dict[str, Callable[[random.Random, bytes], bytes]] = {
    "binary": _in_bytes,
    "text": _in_text,
    "fits": _in_fits,
    "zip": _in_zip,
}
