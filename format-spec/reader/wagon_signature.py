"""Signatures of minisign, and whom a reader believes (signatures.md): BLAKE2b of the standard library, Ed25519 written out here.

Nothing in this file is secret, so nothing takes care to run in constant time: it verifies, and cannot sign. Not here is the rule
of *Setting back*: it compares an archive with the map of an import, and who only reads keeps no map. So whoever restores by
hand has to know which number is the newest. Files are proved once, before any is read: what others may write to meanwhile has
to be copied first."""
import base64, binascii, hashlib, re

SIGNATURE_BYTES = 4 << 10  # a file of a signature or of a public key (signatures.md, Bounds)


class Distrusted(Exception):
    """Nothing proves that somebody who is trusted made this."""


def trust(holds, what):
    if not holds:
        raise Distrusted(what)


# Ed25519: RFC 8032, section 5.1. A point is (X, Y, Z, T) with x = X/Z, y = Y/Z, x y = T/Z.

P = 2**255 - 19                                          # the field
L = 2**252 + 27742317777372353535851937790883648493      # the order of the base point
D = -121665 * pow(121666, -1, P) % P
ROOT = pow(2, (P - 1) // 4, P)                           # of -1
NEUTRAL = (0, 1, 1, 0)


def added(p, q):
    """The sum of two points; also of a point and itself."""
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(number, point):
    total = NEUTRAL
    while number:
        if number & 1:
            total = added(total, point)
        point, number = added(point, point), number >> 1
    return total


def is_neutral(point):
    return point[0] % P == 0 and (point[1] - point[2]) % P == 0


def decoded(data):
    """The point that 32 bytes stand for; nothing where they stand for none, or where another spelling of it is the right one."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P  # never divides by zero: -1/D is no square
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * ROOT % P
    if x * x % P != square or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


def encoded(point):
    over = pow(point[2], -1, P)
    x, y = point[0] * over % P, point[1] * over % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE = decoded((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def verifies(public, signature, message):
    """Whether 64 bytes are a signature of the message by the key. Strict: one spelling of every point, of the number only the one
    below L, no key of small order."""
    point, number = decoded(public), int.from_bytes(signature[32:], "little")
    if point is None or number >= L or is_neutral(times(8, point)):
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    minus = (P - point[0], point[1], point[2], P - point[3])
    return encoded(added(times(number, BASE), times(challenge, minus))) == signature[:32]


# minisign's files

def short_file(path):
    with open(path, "rb") as file:
        data = file.read(SIGNATURE_BYTES + 1)
    trust(len(data) <= SIGNATURE_BYTES, f"{path} is too long for a file of minisign")
    return data


def field(line, length):
    """What a line of base64 says, if that has the length."""
    try:
        data = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return data if len(data) == length else b""


def public_key(word):
    """(key id, key) of a public key, given as its 56 characters of base64 or as the name of the file that has it."""
    text = word.encode()
    if not field(text, 42):
        lines = short_file(word).splitlines()
        text = lines[1] if len(lines) > 1 and lines[0].startswith(b"untrusted comment:") else b"".join(lines[:1])
    data = field(text.strip(), 42)
    trust(data[:2] == b"Ed", f"{word} is no public key of minisign")
    return data[2:10], data[10:]


def signature(path):
    """(key id, signature, trusted comment, its signature) of a signature's file."""
    lines = re.split(rb"\r?\n", short_file(path))
    trust(len(lines) >= 4 and not any(lines[4:]) and lines[0].startswith(b"untrusted comment: ")
          and lines[2].startswith(b"trusted comment: "), f"{path} is no signature of minisign")
    whole, of_comment = field(lines[1], 74), field(lines[3], 64)
    trust(whole[:2] != b"Ed", f"{path} is a legacy signature, which is not believed")
    trust(whole[:2] == b"ED" and of_comment, f"{path} is no signature of minisign")
    return whole[2:10], whole[10:], lines[2].removeprefix(b"trusted comment: "), of_comment


def prove(keys, archive, path):
    """Raises `Distrusted` unless one of the keys, (key id, key), signed this file as this snapshot of the archive with this id."""
    proof = path.with_name(path.name + ".minisig")
    trust(proof.exists(), f"{path} is not signed")
    identity, signed, comment, of_comment = signature(proof)
    candidates = [key for known, key in keys if known == identity]
    trust(candidates, f"{path} is signed by none of the trusted keys")
    content = hashlib.blake2b()
    with open(path, "rb") as file:
        while data := file.read(1 << 20):
            content.update(data)
    content = content.digest()
    key = next((key for key in candidates if verifies(key, signed, content)), None)
    trust(key, f"{path} is not what was signed")
    trust(verifies(key, of_comment, signed + comment), f"{proof}: the comment is not what was signed")
    fields = [pair.split("=", 1) for pair in comment.decode(errors="replace").split(" ") if "=" in pair]
    said = dict(reversed(fields))  # of several of one name the first counts
    number = path.name[:8]
    trust(said.get("archive") == archive and said.get("snapshot") == str(int(number)),
          f"{proof} was made for archive={said.get('archive')} snapshot={said.get('snapshot')}, not for this snapshot of {archive}")
