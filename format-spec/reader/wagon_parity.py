"""Parity files (parity.md): which of their blocks count, what the file that they are of has lost, and that again. Nothing is
believed before its checksum, and a mended file has its name only when its SHA-256 is right. Standard library alone.

Called by wagon_mend.py. One span is held at a time: of it what is lost, and as much of the parity."""
import array, collections, hashlib, re, struct, zlib
from wagon_code import COLUMN, Code, given_out, taken_in

BLOCK = 4096
SPAN = 16384            # blocks of a file
PROTECTED = 16 << 30    # bytes of a file (parity.md, Bounds)
FORGED = 64             # stored blocks that are asked for, for each that the parity file has
CLAIMS = 16             # files that the blocks of one parity file speak of; of more, those that come first
HEAD = struct.Struct("<8sHHQ32sII")

Claim = collections.namedtuple("Claim", "percent length digest")  # what a stored block says of the file


class Lost(Exception):
    """Something cannot be had again."""


def need(holds, what):
    if not holds:
        raise Lost(what)


def block_at(file, number):
    """A block of a file, with zeros for what it lacks; as zeros what cannot be read."""
    try:
        file.seek(number * BLOCK)
        return file.read(BLOCK).ljust(BLOCK, b"\0")
    except OSError:
        return bytes(BLOCK)


def is_stored(block):
    return block.startswith(b"wagonpar\x01\0") and zlib.crc32(block[:-4]).to_bytes(4, "little") == block[-4:]


class Layout:
    """What a span of `data` blocks has at a percentage: `parity` blocks, and `stored` ones, each with a share of the table in
    `share` bytes and a piece of the parity in `piece` bytes; `shares` of the stored ones have the table itself."""

    def __init__(self, data, percent):
        self.data, self.parity = data, -(-data * percent // 100)
        self.stored, self.share = min((max(-(-BLOCK * self.parity // (4032 - share)), -(-4 * data // share) + self.parity), share)
                                      for share in range(64, 4032, 64))
        self.shares, self.piece = -(-4 * data // self.share), 4032 - self.share


def spans(claim):
    """(first block, layout) of each span."""
    blocks = max(1, -(-claim.length // BLOCK))
    count = -(-blocks // SPAN)
    layouts = {}
    for span in range(count):
        first, end = span * blocks // count, (span + 1) * blocks // count
        layouts[end - first] = layouts.get(end - first) or Layout(end - first, claim.percent)
        yield first, layouts[end - first]


class Parity:
    """One parity file: of which file it is, and where the blocks of it lie that are sound."""

    def __init__(self, path, wanted):
        """Of blocks that speak of several files those count whose digest begins with `wanted`, or else the most."""
        self.path, found = path, {}
        with open(path, "rb") as file:
            self.blocks = -(-file.seek(0, 2) // BLOCK)
            need(self.blocks <= PROTECTED // BLOCK, "it is too large")
            for at in range(self.blocks):
                block = block_at(file, at)
                if not is_stored(block):
                    continue
                _, _, percent, length, digest, span, number = HEAD.unpack_from(block)
                claim = Claim(percent, length, digest.hex())
                if not (1 <= percent <= 50 and length <= PROTECTED and claim.digest.startswith(wanted)):
                    continue
                if claim in found or len(found) < CLAIMS:
                    found.setdefault(claim, array.array("I")).extend((span, number, at))
        need(found, "none of its blocks is sound and of this file")
        self.claim = max(found, key=lambda claim: len(found[claim]))
        self.place(found[self.claim])

    def place(self, where):
        self.spans, self.begins, asked = [], [], 0
        for first, layout in spans(self.claim):
            self.spans.append((first, layout))
            self.begins.append(asked)
            asked += layout.stored
        need(asked <= FORGED * self.blocks, f"it should have {asked} blocks, and has {self.blocks}")
        self.at = array.array("q", [-1]) * asked
        for span, number, at in zip(where[::3], where[1::3], where[2::3]):
            if span < len(self.spans) and number < self.spans[span][1].stored and not self.is_there(span, number):
                self.at[self.begins[span] + number] = at
        self.missing = sum(at < 0 for at in self.at)

    def is_whole(self):
        """Whether every block is there, and nothing else."""
        return not self.missing and self.blocks == len(self.at)

    def is_there(self, span, number):
        return self.at[self.begins[span] + number] >= 0

    def stored(self, file, span, number):
        """(share of the table, piece of the parity) of a stored block; zeros where there is none."""
        at = self.at[self.begins[span] + number]
        block, share = block_at(file, at) if at >= 0 else bytes(BLOCK), self.spans[span][1].share
        return block[HEAD.size:HEAD.size + share], block[HEAD.size + share:-4]

    def table(self, file, span):
        """The CRC-32 of each block of a span."""
        layout = self.spans[span][1]
        lost = [number for number in range(layout.shares) if not self.is_there(span, number)]
        rows = [n - layout.shares for n in range(layout.shares, layout.stored) if self.is_there(span, n)][:len(lost)]
        need(len(rows) == len(lost), f"of span {span} fewer than {layout.shares} stored blocks are left, so its table is lost")
        table = [self.stored(file, span, number)[0] for number in range(layout.shares)]
        if lost:
            code = Code(layout.stored - layout.shares)
            sums = code.parity(((n, taken_in(share)) for n, share in enumerate(table)), rows, layout.share)
            sums = [of_all ^ taken_in(self.stored(file, span, row + layout.shares)[0]) for of_all, row in zip(sums, rows)]
            for number, share in zip(lost, code.solved(lost, rows, sums, layout.share)):
                table[number] = given_out(share, layout.share)
        return struct.unpack_from(f"<{layout.data}I", b"".join(table))

    def parity_block(self, file, span, number):
        """A block of parity, put together of its pieces, with zeros for those that are lost."""
        size = self.spans[span][1].piece
        begin = number * BLOCK
        first, last = begin // size, (begin + BLOCK - 1) // size
        pieces = b"".join(self.stored(file, span, piece)[1] for piece in range(first, last + 1))
        return pieces[begin - first * size:][:BLOCK]

    def columns(self, span, count):
        """Rows -> the columns for which they serve: for each column so many blocks of parity that have it."""
        layout, found = self.spans[span][1], collections.defaultdict(list)
        for column in range(0, BLOCK, COLUMN):
            rows = (row for row in range(layout.parity) if self.is_there(span, (row * BLOCK + column) // layout.piece))
            rows = tuple(row for row, _ in zip(rows, range(count)))
            need(len(rows) == count, f"of span {span} {count} of {layout.data} blocks are lost, more than its parity makes up for")
            found[rows].append(column)
        return found

    def lost(self, source, file, span):
        """The numbers of the blocks of a span that are not what the table says, counted within the span."""
        first, layout = self.spans[span]
        table = self.table(file, span)
        return [n for n in range(layout.data) if source is None or zlib.crc32(block_at(source, first + n)) != table[n]]

    def restored(self, source, file, span, lost):
        """The blocks of a span that were lost, by number within the span."""
        first, layout = self.spans[span]
        code, columns = Code(layout.parity), self.columns(span, len(lost))
        rows, gone = sorted(set().union(*columns)), set(lost)
        known = ((n, taken_in(block_at(source, first + n))) for n in range(layout.data) if n not in gone)
        sums = (given_out(of_all, BLOCK) for of_all in code.parity(known, rows, BLOCK))
        sums = {row: (of_all, self.parity_block(file, span, row)) for row, of_all in zip(rows, sums)}
        blocks = [bytearray(BLOCK) for _ in lost]
        for rows, places in columns.items():
            def cut(block):
                return taken_in(b"".join(block[at:at + COLUMN] for at in places))
            size = COLUMN * len(places)
            shares = code.solved(lost, rows, [cut(sums[row][0]) ^ cut(sums[row][1]) for row in rows], size)
            for block, share in zip(blocks, shares):
                share = given_out(share, size)
                for number, at in enumerate(places):
                    block[at:at + COLUMN] = share[number * COLUMN:][:COLUMN]
        return dict(zip(lost, blocks))

    def mend(self, source, out):
        """Writes the whole file to `out`. `source` is what is left of it, or None."""
        content, left = hashlib.sha256(), self.claim.length
        with open(self.path, "rb") as file:
            for span, (first, layout) in enumerate(self.spans):
                lost = self.lost(source, file, span)
                restored = self.restored(source, file, span, lost) if lost else {}
                for number in range(layout.data):
                    block = (restored.get(number) or block_at(source, first + number))[:left]
                    content.update(block)
                    out.write(block)
                    left -= len(block)
        need(content.hexdigest() == self.claim.digest, "what its parity gives is not the file that it speaks of")


def stored_blocks(source, claim):
    """The blocks of the parity file of a file, in their order, as there can be no others."""
    for span, (first, layout) in enumerate(spans(claim)):
        table = bytearray()

        def data():
            for number in range(layout.data):
                block = block_at(source, first + number)
                table.extend(zlib.crc32(block).to_bytes(4, "little"))
                yield number, taken_in(block)
        rows = range(layout.parity)
        parity = b"".join(given_out(share, BLOCK) for share in Code(layout.parity).parity(data(), rows, BLOCK))
        shares = [bytes(table[at:at + layout.share]).ljust(layout.share, b"\0") for at in range(0, len(table), layout.share)]
        more = layout.stored - layout.shares
        taken = ((number, taken_in(share)) for number, share in enumerate(shares))
        shares += [given_out(share, layout.share) for share in Code(more).parity(taken, range(more), layout.share)]
        for number, share in enumerate(shares):
            piece = parity[number * layout.piece:][:layout.piece].ljust(layout.piece, b"\0")
            head = HEAD.pack(b"wagonpar", 1, claim.percent, claim.length, bytes.fromhex(claim.digest), span, number)
            yield (block := head + share + piece) + zlib.crc32(block).to_bytes(4, "little")
