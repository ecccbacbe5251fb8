"""The code of parity (parity.md, The code): parity shares of data shares, and the shares that were lost from those that are left.

A share is held as one long number, so that an exclusive or of two of them is one step, and its symbols as polynomials, so that doubling
all of them is a few. Everything is done by the matrix as the page has it, in n² steps; it is the page that is to be read
here, and a pack of 32 MiB takes seconds."""
import functools

BASIS = (0x0001, 0xacca, 0x3c0e, 0x163e, 0xc582, 0xed2e, 0x914c, 0x4012, 0x6c98, 0x10d8, 0x6a72, 0xb900, 0xfdb8, 0xfb34, 0xff38, 0x991e)
MODULUS = 0x1002d
COLUMN = 64  # bytes: 32 symbols

ELEMENT = [0]  # number -> the polynomial that it stands for
for one in BASIS:
    ELEMENT += [one ^ element for element in ELEMENT]
EXP = [1]      # power of x -> polynomial; a negative power is found from the end
while len(EXP) < 65535:
    EXP.append(EXP[-1] << 1 ^ (MODULUS if EXP[-1] >> 15 else 0))
POWER, NUMBER = [0] * 65536, [0] * 65536  # polynomial -> power of x; polynomial -> number
for power, element in enumerate(EXP):
    POWER[element] = power
for number, element in enumerate(ELEMENT):
    NUMBER[element] = number
LOG = [POWER[element] for element in ELEMENT]  # number -> power of x; 0 for 0, which is no power


def tables(mapping):
    """A linear mapping of symbols as four of bytes: low to low, high to low, low to high, high to high."""
    low, high = mapping[:256], mapping[::256]
    return [bytes(value >> shift & 255 for value in part) for shift in (0, 8) for part in (low, high)]


TO_POLYNOMIALS, TO_NUMBERS = tables(ELEMENT), tables(NUMBER)


@functools.lru_cache(maxsize=256)
def masks(size):
    """Of a share: all low bytes; the lowest bit of each; the highest bit of every byte."""
    def repeated(low, high):
        return int.from_bytes((low * 32 + high * 32) * (size // COLUMN), "little")
    return repeated(b"\xff", b"\0"), repeated(b"\x01", b"\0"), repeated(b"\x80", b"\x80")


def mapped(share, mapping):
    low, (a, b, c, d) = masks(len(share))[0], (int.from_bytes(share.translate(table), "little") for table in mapping)
    return (a & low) ^ (b >> 256 & low) ^ ((c & low) << 256) ^ (d & low << 256)


def taken_in(share):
    """A share, as bytes, in the form in which sums are made of it."""
    return mapped(share, TO_POLYNOMIALS)


def given_out(value, size):
    return mapped(value.to_bytes(size, "little"), TO_NUMBERS).to_bytes(size, "little")


def doubled(value, size):
    """Each symbol times x."""
    low, ones, tops = masks(size)
    top = value & tops
    return (value ^ top) << 1 ^ (top & low) << 249 ^ (top >> 263 & ones) * (MODULUS & 255)


def combined(shares, count, size):
    """`count` sums over all shares; with each comes what it is multiplied with in each of the sums."""
    sums = [0] * count
    for value, factors in shares:
        if value:
            multiples = []  # by the 16 polynomials of each four bits
            for _ in range(4):
                multiples.append([0])
                for _ in range(4):
                    multiples[-1] += [value ^ other for other in multiples[-1]]
                    value = doubled(value, size)
            a, b, c, d = multiples
            for at, x in enumerate(factors):
                sums[at] ^= a[x & 15] ^ b[x >> 4 & 15] ^ c[x >> 8 & 15] ^ d[x >> 12]
    return sums


@functools.lru_cache(maxsize=1 << 16)
def weight(block, first):
    """The power of x that is w of the places from `block` on, of which there are `first`."""
    value = ELEMENT[block]
    while first > 1:
        value, first = (EXP[2 * POWER[value] % 65535] if value else 0) ^ value, first // 2
    return POWER[value]


class Code:
    """`parity` shares of any number of data shares. Places are numbers, and so is the sum of two: their exclusive or."""

    def __init__(self, parity):
        self.first = 1
        while self.first < parity:
            self.first *= 2

    def parity(self, data, rows, size):
        """The parity shares of these numbers; `data` gives (number, share taken in), and what it leaves out counts as zeros."""
        def factors(number):
            place = self.first + number
            mine = weight(place - place % self.first, self.first)
            return (EXP[mine - LOG[place ^ row]] for row in rows)
        return combined(((share, factors(number)) for number, share in data), len(rows), size)

    def solved(self, lost, rows, sums, size):
        """The lost data shares, from as many parity shares of those alone: by the inverse of a matrix of Cauchy."""
        places = [self.first + number for number in lost]
        of_place = [sum(LOG[place ^ row] for row in rows) - sum(LOG[place ^ other] for other in places)
                    - weight(place - place % self.first, self.first) for place in places]

        def factors(row):
            of_row = sum(LOG[row ^ place] for place in places) - sum(LOG[row ^ other] for other in rows)
            return (EXP[(mine + of_row - LOG[place ^ row]) % 65535] for mine, place in zip(of_place, places))
        return combined(((share, factors(row)) for row, share in zip(rows, sums)), len(lost), size)
