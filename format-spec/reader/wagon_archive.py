"""Everything that an archive of wagon can hold, read strictly by its specification: streaming, so that no object has to fit
into memory; whatever is wrong is a `Damaged` that says where. Standard library alone, no line of wagon's own code.

Called by wagon_restore.py. wagon_read.py is the short way to one account; here are damaged packs, large objects, broken chains,
indexes, and all kinds of lines. See archive.md, pack.md, message.md, snapshot.md."""
import base64, collections, functools, hashlib, io, json, os, pathlib, re, struct, subprocess, sys, zlib
import wagon_read
from wagon_signature import prove

IN_MEMORY = 32 << 20  # objects up to this size may be held (README.md, Bounds)
HEAD_BYTES = 64 << 20  # head and table of contents of a snapshot (README.md, Bounds)
DEPTH = 8             # recipes within recipes
LINE = 32 << 20       # longest line of a manifest
NAME = re.compile(r"[om]/([0-9a-f]{64})\Z")
MAGIC = b"\x1f\x8b\x08\0\0\0\0\0"


class Damaged(Exception):
    """Something is not what the specification says."""


def need(holds, what):
    if not holds:
        raise Damaged(what)


def shown(text):
    """Text from an archive, harmless on a terminal."""
    return re.sub(r"[\0-\x1f\x7f-\x9f]", lambda m: f"\\x{ord(m[0]):02x}", text)


class Member:
    """The inflated bytes of the gzip member that begins at `at`, a piece at a time. `end` is where it ended."""

    def __init__(self, file, at):
        self.file, self.at, self.end, self.ready, self.taken = file, at, None, b"", 0
        self.inflater = zlib.decompressobj(31)

    def more(self):
        """Inflates a little; False at the end. 64 KiB give 66 MiB at most."""
        if self.end is not None:
            return False
        self.file.seek(self.at)
        packed = self.file.read(1 << 16)
        need(packed, "the file ends within a gzip member")
        self.at += len(packed)
        try:
            self.ready, self.taken = self.ready[self.taken:] + self.inflater.decompress(packed), 0
        except zlib.error as error:
            raise Damaged(f"does not inflate: {error}") from error
        if self.inflater.eof:
            self.end = self.at - len(self.inflater.unused_data)
        return True

    def read(self, size):
        """So many bytes, fewer only at the end."""
        while len(self.ready) - self.taken < size and self.more():
            pass
        found = self.ready[self.taken:self.taken + size]
        self.taken += len(found)
        return found

    def pieces(self, size):
        while size:
            piece = self.read(min(size, 1 << 20))
            need(piece, "a tar entry is longer than its segment")
            size -= len(piece)
            yield piece


def tar_header(name, size):
    """The one header that there is for a name and a size (pack.md)."""
    def block(total):
        fields = (name.encode(), b"0000644", b"0000000", b"0000000", b"%011o" % size, b"0" * 11, total, b"0", b"", b"ustar\x0000")
        return struct.pack("100s8s8s8s12s12s8s1s100s8s247x", *fields)
    return block(b"%06o\0 " % sum(block(b" " * 8)))


def entries(member):
    """(name, size, where its header begins, pieces) of each tar entry of a member. The pieces have to be taken before the
    next entry is asked for."""
    at = 0
    while header := member.read(512):
        name, size = header[:100].rstrip(b"\0").decode(errors="replace"), header[124:135]
        need(re.fullmatch(rb"[0-7]{11}", size) and header == tar_header(name, int(size, 8)), f"no tar header at {at}")
        size = int(size, 8)
        yield name, size, at, member.pieces(size)
        padding = -size % 512
        need(member.read(padding) == bytes(padding), f"{name} is not padded with zeros")
        at += 512 + size + padding


class Place:
    """Where an object lies in a pack."""

    __slots__ = ("pack", "member", "block", "inflated")

    def __init__(self, pack, member, block, inflated):
        self.pack, self.member, self.block, self.inflated = pack, member, block, inflated


class Archive(wagon_read.Archive):
    def __init__(self, folder, trusted=()):
        """Where there are `trusted` keys, every snapshot must be signed by one of them before a byte of any is looked at."""
        self.complaints, folder = [], pathlib.Path(folder)
        header = self.sound_header(folder)
        need(re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", header["id"]), "wagon.json has no id")
        encrypted = "encryption" in header
        need(header["format"] > 2 or (header["format"] == 2) == encrypted, "wagon.json has a format and an encryption that contradict each other")
        if trusted:
            for path in sorted((folder / "snapshots").glob("[0-9]*.tar.gz" + ".age" * encrypted)):
                prove(trusted, header["id"], path)
        if encrypted:
            need(header["encryption"]["method"] == "age", "it is encrypted by a method that is not known")
            self.find_identity(folder, header["encryption"].get("key_sha256"))
        super().__init__(folder, header)

    def find_identity(self, folder, digest):
        """Takes the identity that WAGON_IDENTITY names, or that of the sound copy of key.age (encryption.md), for which `age` asks
        for the passphrase: once, and not again for each file."""
        copies = [path for name in ("key.age", "key-again.age") if (path := folder / name).is_file()]
        sound = [path for path in copies if hashlib.sha256(path.read_bytes()).hexdigest() == digest]
        for path in sound[:1] or copies:
            try:
                if "WAGON_IDENTITY" not in os.environ and wagon_read.identity(str(path)):
                    os.environ["WAGON_IDENTITY"] = str(path)
            except subprocess.SubprocessError:  # `age` has said why
                self.complain(f"{path}: it was not opened")
        need("WAGON_IDENTITY" in os.environ, f"{folder}: WAGON_IDENTITY names no identity, and none was had from a passphrase")

    def sound_header(self, folder):
        """wagon.json; where that is not what its checksum says, its other copy if that is (archive.md, Two copies)."""
        found, sound = {}, {}
        for name in ("wagon.json", "wagon-again.json"):
            try:
                text = (folder / name).read_text()
                found[name] = json.loads(text)
                before, digits, after = text.rpartition(found[name].get("sha256", "none"))
                if digits and hashlib.sha256((before + "0" * 64 + after).encode()).hexdigest() == digits:
                    sound[name] = found[name]
                elif digits or "sha256" in found[name]:
                    self.complain(f"{folder / name}: it is not what its checksum says")
            except FileNotFoundError:
                pass
            except wagon_read.WRONG as error:
                self.complain(f"{folder / name}: {error!r}")
        first, second = (sound.get(name) for name in ("wagon.json", "wagon-again.json"))
        need(not (first and second) or first == second, f"{folder}: wagon.json and wagon-again.json contradict each other")
        need("wagon.json" in found or second, f"{folder} has no wagon.json")
        need(first or second or "sha256" not in found["wagon.json"], f"{folder}: no sound wagon.json")
        return first or second or found["wagon.json"]

    def complain(self, what):
        if what not in self.complaints:
            self.complaints.append(what)
            print(shown(what), file=sys.stderr)

    # Packs

    def packs(self):
        return sorted(self.folder.glob("packs/??/*" + self.suffix))

    def scan(self, pack, see):
        """Calls `see(member, start, name, size, block, pieces)` for each entry, and passes over what does not inflate.
        Returns the segments: (start, length, inflated length)."""
        segments, ended = [], False
        with wagon_read.opened(pack) as file:
            length, at = file.seek(0, 2), 0
            while at < length:
                member, inflated, seen = Member(file, at), 0, []
                try:
                    head = member.read(512)
                    if head == bytes(512):
                        need(member.read(513) == bytes(512), "a tar file ends with 1024 zeros")
                        ended = True
                        while member.end < length:  # the padding of an encrypted pack
                            member = Member(file, member.end)
                            need(not member.read(1), "something lies behind the end of the tar file")
                    else:
                        member.taken = 0  # looked at, and not taken
                        for name, size, block, pieces in entries(member):
                            see(member, at, name, size, block, pieces)
                            collections.deque(pieces, maxlen=0)
                            inflated = block + 512 + size + -size % 512
                        segments.append((at, member.end - at, inflated))
                    at = member.end
                except Damaged as error:
                    self.complain(f"{pack}: segment at byte {at}: {error}")
                    at = find(file, MAGIC, at + 1)
        if not ended:
            self.complain(f"{pack}: has no end")
        return segments

    @functools.cached_property
    def places(self):
        """First 20 bytes of an object's name -> places. From indexes, and from the packs that have no sound one."""
        found = collections.defaultdict(list)
        for pack in self.packs():
            try:
                for prefix, place in self.index(pack)[1]:
                    found[prefix].append(place)
            except (Damaged, OSError):
                def see(_, start, name, size, block, __):
                    if match := NAME.match(name):
                        found[bytes.fromhex(match[1])[:20]].append(Place(pack, start, block, None))
                self.scan(pack, see)
        return found

    def index(self, pack):
        """(segments, [(first 20 bytes of a name, place)]) as the index of a pack says."""
        name = pack.name[:64]
        with wagon_read.opened(self.folder / "index" / name[:2] / f"{name}.idx{self.suffix[7:]}") as file:
            data = file.read()
        if self.suffix != ".tar.gz":  # zeros behind it are padding
            data = data[:96 + 24 * sum(struct.unpack_from("<12xIQ", data))]
        need(len(data) >= 96 and hashlib.sha256(data[:-32]).digest() == data[-32:], "the index is damaged")
        magic, version, count, objects, length = struct.unpack_from("<8sIIQQ", data)
        need(magic == b"wagonidx" and version == 1, "the index is of another version")
        with wagon_read.opened(pack) as file:
            need(data[32:64].hex() == name and length == file.seek(0, 2), "the index is of another pack")
        need(len(data) == 96 + 24 * count + 24 * objects, "the index has another length than its counts give")
        segments, before = [], 0
        for start, size, inflated in struct.iter_unpack("<QQQ", data[64:64 + 24 * count]):
            need(before <= start and start + size <= length and inflated <= 1032 * size, "segments of the index overlap")
            before = start + size
            segments.append((start, size, inflated))
        found, last = [], b""
        for prefix, segment, block in struct.iter_unpack("<20sHH", data[64 + 24 * count:-32]):
            need(last < prefix and segment < count and 512 * block < segments[segment][2], "objects of the index are wrong")
            last = prefix
            found.append((prefix, Place(pack, segments[segment][0], 512 * block, segments[segment][2])))
        return segments, found

    # Objects

    @functools.lru_cache(maxsize=64)
    def held(self, pack, start):
        """A segment inflated; for those that are small."""
        with wagon_read.opened(pack) as file:
            member = Member(file, start)
            return member.read(IN_MEMORY)

    def stored(self, name, place):
        """(`o` or `m`, size, pieces) of what is stored at a place."""
        if place.inflated is not None and place.inflated <= 1 << 20:
            tar, at = self.held(place.pack, place.member), place.block + 512
            header, read = tar[place.block:at], lambda size: iter((tar[at:at + size],) if size else ())
        else:
            member = Member(wagon_read.opened(place.pack), place.member)
            collections.deque(member.pieces(place.block), maxlen=0)
            header, read = member.read(512), member.pieces
        need(header[2:66] == name.encode() and header[124:135].isdigit(), f"object {name} is not where it should be")
        size = int(header[124:135], 8)
        need(header in (tar_header(f"o/{name}", size), tar_header(f"m/{name}", size)), f"object {name} has no tar header")
        return chr(header[0]), size, read(size)

    def pieces(self, name, place, depth=0):
        """The bytes of an object, a piece at a time, not yet compared with its name."""
        kind, size, stored = self.stored(name, place)
        if kind == "o":
            yield from stored
            return
        need(depth < DEPTH, f"object {name}: recipes are too deep")
        need(size <= IN_MEMORY, f"object {name} is too large for a recipe")
        skeleton, separator, trace = b"".join(stored).partition(b"\n")
        need(separator and re.fullmatch(rb"[0-9a-f]{64}", skeleton), f"object {name} is no recipe")
        yield trace
        yield from self.join(self.fetch(skeleton.decode(), depth + 1), depth + 1)

    def join(self, skeleton, depth=0):
        head, separator, literals = skeleton.partition(b"\n\n")
        magic, *pieces = head.decode("ascii", "replace").split("\n")
        need(separator and magic == "wagon-skeleton 1", f"not a skeleton of this version: {magic[:40]!r}")
        at = 0
        for piece in pieces:
            match = re.fullmatch(r"L ([1-9]\d*)|([RB]) ([0-9a-f]{64}) ([1-9]\d*)(?: ([1-9]\d*) (n|rn))?", piece)
            need(match and not (match[2] == "R" and match[5]), f"unknown piece {piece!r}")
            if match[1]:
                at += int(match[1])
                need(at <= len(literals), "a skeleton has fewer literals than it says")
                yield literals[at - int(match[1]):at]
                continue
            part = self.sized(match[3], int(match[4]), depth)
            yield from part if match[2] == "R" else base64_lines(part, int(match[5] or 0), match[6])
        need(at == len(literals), "a skeleton has more literals than it says")

    def sized(self, name, size, depth):
        """The pieces of an object that must have so many bytes."""
        total = 0
        for piece in self.content(name, size, depth):
            total += len(piece)
            yield piece
        need(total == size, f"object {name} has {total} bytes, not {size}")

    def content(self, name, size, depth=0):
        """The pieces of an object of about `size` bytes, which were compared with its name before the first is given out."""
        if size <= IN_MEMORY:
            return iter((self.fetch(name, depth),))
        return self.pieces(name, self.sound(name, depth, None), depth)

    def fetch(self, name, depth=0):
        """An object in memory, compared with its name."""
        kept = []
        self.sound(name, depth, kept)
        return b"".join(kept)

    def sound(self, name, depth, keep):
        """The first place that gives the object of this name; `keep` takes its bytes."""
        places = self.places.get(bytes.fromhex(name)[:20], ())
        trouble = f"object {name} is in no pack"
        for place in places:
            digest, size = hashlib.sha256(), 0
            try:
                for piece in self.pieces(name, place, depth):
                    digest.update(piece)
                    size += len(piece)
                    if keep is not None:
                        need(size <= IN_MEMORY, f"object {name} is too large for memory")
                        keep.append(piece)
                need(digest.hexdigest() == name, f"object {name} in {place.pack} is damaged")
                return place
            except Damaged as error:
                trouble = str(error)
                if keep is not None:
                    keep.clear()
        raise Damaged(trouble)

    # Snapshots

    @functools.lru_cache(maxsize=256)
    def contents(self, path):
        """Entry -> where its member begins, as the table of contents says."""
        with wagon_read.opened(path) as file:
            head = Member(file, 0)
            need([name for name, *_ in drained(head, HEAD_BYTES)] == ["snapshot.json"], f"{path} does not begin with its head")
            table = Member(file, head.end)
            (name, text), = drained(table, HEAD_BYTES)
            need(name == "contents.jsonl", f"{path} has no table of contents")
            found, at = {}, table.end
            for line in lines_of(text):
                need(line["n"] not in found, f"{path} has {line['n']} twice")
                found[line["n"]] = (at, line["z"], line["s"])
                at += line["z"]
            need(Member(file, at).read(1025) == bytes(1024), f"{path} does not end where its table of contents says")
        return found

    def entry(self, path, name):
        """The bytes of an entry; empty where there is none."""
        if name not in self.contents(path):
            return b""
        at, length, size = self.contents(path)[name]
        with wagon_read.opened(path) as file:
            member = Member(file, at)
            (found, text), = drained(member)
        need(found == name and len(text) == size and member.end == at + length, f"{path}: {name} is not as the table says")
        return text

    def provisioning(self, path):
        """What a snapshot says of the records; from their second copy where the first is damaged."""
        try:
            return self.entry(path, "provisioning.jsonl")
        except Damaged as error:
            if "provisioning-again.jsonl" not in self.contents(path):
                raise
            self.complain(f"{path}: provisioning.jsonl: {error}; its other copy is read")
            return self.entry(path, "provisioning-again.jsonl")

    def chain(self, number):
        """Snapshots with their files, from the oldest ancestor to this one."""
        found = []
        while number:
            need(number in self.heads, f"snapshot {number} is needed and cannot be read")
            head, path = self.heads[number]
            need(head["no"] == number and path.name.startswith(f"{number:08}-"), f"{path} says that it is {head['no']}")
            need(head.get("parent", 0) < number, f"{path}: the parent is not older")
            need(not found or head["source"] == found[-1][0]["source"], f"{path} is of another source")
            found.append((head, path))
            number = head.get("parent")
        return found[::-1]

    def records(self, number):
        """Record id -> record, at a snapshot."""
        records = {}
        for head, path in self.chain(number):
            lines = list(lines_of(self.provisioning(path)))
            need(len(lines) == head.get("provisioning_lines", 0), f"{path}: provisioning.jsonl lacks lines")
            for line in lines:
                (kind, value), = line.items()
                need(kind in ("put", "gone", "last"), f"{path}: unknown line {kind!r}")
                if kind == "put":
                    records[value["id"]] = value["record"]
                elif kind == "gone":
                    need(records.pop(value, None), f"{path}: record {value} goes and was not there")
        return records

    def mailbox(self, number, account):
        """(folders by id, items by id, settings by kind and name) of the account with this record id."""
        folders, items, settings = {}, {}, {}
        for head, path in self.chain(number):
            named = next((entry for entry in head["accounts"] if entry["id"] == account), None)
            if named is None:
                continue
            if named.get("full"):
                folders, items, settings = {}, {}, {}
            count = 0
            for count, line in enumerate(lines_of(self.entry(path, f"accounts/{account}.jsonl")), 1):
                try:
                    apply(line, folders, items, settings)
                except (KeyError, TypeError, ValueError) as error:
                    raise Damaged(f"{path}: accounts/{account}.jsonl line {count}: {error!r}") from error
            need(count == named["lines"], f"{path}: accounts/{account}.jsonl has {count} lines, not {named['lines']}")
            need(len(items) == named["items"], f"{path}: account {account} has {len(items)} items, not {named['items']}")
            need(sum(item["s"] for item in items.values()) == named["bytes"], f"{path}: account {account} has other bytes")
        return folders, items, settings

    def rejected(self, number):
        return list(lines_of(self.entry(self.heads[number][1], "rejected.jsonl")))


def apply(line, folders, items, settings):
    """One line of a manifest (snapshot.md, accounts/N.jsonl)."""
    (kind, value), = line.items()
    if kind == "folder":
        levels = value["path"].split("/")
        need(not {"", ".", ".."} & set(levels) and "\0" not in value["path"], f"no path of a folder: {value['path']!r}")
        folders[value["i"]] = value
    elif kind == "item":
        need(value["f"] in folders, f"item {value['i']} lies in no folder")
        items[value["i"]] = value
    elif kind == "change":
        item = items[value["i"]]
        item.update(value)
        for field in ("k", "t", "u", "p"):  # 0 and empty take away
            if not item.get(field):
                item.pop(field, None)
        need(item["f"] in folders, f"item {value['i']} lies in no folder")
    elif kind == "item-gone":
        del items[value]
    elif kind == "folder-gone":
        del folders[value]
        for gone in [i for i, item in items.items() if item["f"] == value]:
            del items[gone]
    elif kind == "setting":
        settings[setting_key(value)] = value
    elif kind == "setting-gone":
        settings.pop(tuple(value), None)
    else:
        need(kind == "last", f"unknown line {kind!r}")


def setting_key(setting):
    """(kind, name): what names a setting within its account."""
    kind = setting["kind"]
    if kind == "mountpoint":
        place = setting["at"]
        return kind, place["path"] if place.get("kind", "mail") == "mail" else f"{place['kind']}/{place['path']}"
    need(kind in ("identity", "signature", "forwarding", "vacation", "preference", "external-source", "tag", "subscription"),
         f"unknown setting {kind!r}")
    return kind, setting["path"] if kind == "subscription" else setting.get("name", "")


def lines_of(text):
    """The values of JSON lines; empty lines are passed over."""
    for line in io.BytesIO(text):
        need(len(line) <= LINE, "a line is too long")
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise Damaged(f"a line is no JSON: {error}") from error
            need(isinstance(value, dict), "a line is no JSON object")
            yield value


def drained(member, most=None):
    """(name, content) of each tar entry of a member; none may have more than `most` bytes."""
    found = []
    for name, size, _, pieces in entries(member):
        need(most is None or size <= most, f"{name} has {size} bytes, and {most} are the most")
        found.append((name, b"".join(pieces)))
    return found


def find(file, needle, at):
    """Where `needle` is found next; the end of the file if nowhere."""
    while True:
        file.seek(at)
        data = file.read(1 << 20)
        found = data.find(needle)
        if found >= 0:
            return at + found
        if len(data) < len(needle):
            return at + len(data)
        at += len(data) - len(needle) + 1


def base64_lines(pieces, width, end):
    """Base64 of the pieces, in lines of `width` digits with an end between them; as one line without a width."""
    end, rest, digits = {None: b"", "n": b"\n", "rn": b"\r\n"}[end], b"", b""
    for piece in pieces:
        rest += piece
        whole = len(rest) - len(rest) % 3
        digits, rest = digits + base64.b64encode(rest[:whole]), rest[whole:]
        if not width:
            yield digits
            digits = b""
            continue
        full = max(0, len(digits) - 1) // width * width
        yield b"".join(digits[at:at + width] + end for at in range(0, full, width))
        digits = digits[full:]
    digits += base64.b64encode(rest)
    lines = [digits[at:at + width] for at in range(0, len(digits), width)] if width else [digits]
    yield end.join(lines)
