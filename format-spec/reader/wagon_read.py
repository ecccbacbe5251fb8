#!/usr/bin/env python3
"""Reads an archive of wagon by its specification alone: standard library, no index, no line of wagon's own code.

    wagon_read.py ARCHIVE                          lists the snapshots
    wagon_read.py ARCHIVE SNAPSHOT                 lists the accounts at a snapshot (its number, or "latest")
    wagon_read.py ARCHIVE SNAPSHOT ADDRESS FOLDER  restores an account into FOLDER: mail as FOLDER/Maildir (Maildir++),
                                                   everything else as FOLDER/KIND/PATH/NAME
Every object is compared with its name. wagon_restore.py, beside this script, checks archives and restores whole sites. What is
encrypted is read with `age` and the identity that WAGON_IDENTITY names: a file, or a key.age, whose passphrase `age` asks for."""
import base64, collections, functools, hashlib, io, json, os, pathlib, re, subprocess, sys, tarfile, time, zlib
LIMIT = 64 << 20  # what a gzip member may inflate to here; wagon_restore.py reads larger objects a piece at a time
WRONG = (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, RuntimeError, MemoryError, OSError, EOFError, zlib.error,
         tarfile.TarError, subprocess.SubprocessError)  # what comes of an archive that is not as it should be

@functools.lru_cache(maxsize=1)
def identity(path):
    key = pathlib.Path(path).read_bytes()
    return subprocess.run(["age", "-d", path], check=True, stdout=subprocess.PIPE).stdout if key.startswith(b"age-encryption") else key
@functools.lru_cache(maxsize=4)
def decrypted(path):
    return subprocess.run(["age", "-d", "-i", "-", path], input=identity(os.environ["WAGON_IDENTITY"]), check=True, stdout=subprocess.PIPE).stdout
def opened(path):
    """The bytes of a file of the archive, as a file that can seek. Nothing else opens one."""
    return io.BytesIO(decrypted(path)) if path.suffix == ".age" else open(path, "rb")
def members(path, at=0):
    """(offset, inflated bytes) of each gzip member of a file, from the one that begins at `at`."""
    with opened(path) as file:
        while file.seek(at) == at and (data := file.read(1 << 16)):
            inflater, tar, start = zlib.decompressobj(31), bytearray(), at
            while data:
                tar += inflater.decompress(data, LIMIT + 1 - len(tar))
                if len(tar) > LIMIT:
                    raise ValueError(f"{path}: what begins at byte {start} inflates to more than {LIMIT} bytes")
                at += len(data)
                data = b"" if inflater.eof else file.read(1 << 16)
            at -= len(inflater.unused_data)
            yield start, bytes(tar)
def entries(tar):
    """(name, bytes) of each entry in whole tar entries, with or without the end mark."""
    whole = tarfile.open(fileobj=io.BytesIO(tar + bytes(1024)))
    yield from ((entry.name, whole.extractfile(entry).read()) for entry in whole)

class Archive:
    def __init__(self, folder, header=None):
        self.folder = pathlib.Path(folder)
        self.header = header or json.loads((self.folder / "wagon.json").read_text())
        self.header["archive"] == "wagon" and self.header["format"] in (1, 2) or sys.exit("not an archive that this script reads")
        self.heads, replaced, self.suffix = {}, set(), ".tar.gz" + ".age" * (self.header["format"] == 2)
        for path in sorted((self.folder / "snapshots").glob("[0-9]*" + self.suffix)):
            try:
                head = json.loads(dict(entries(next(members(path))[1]))["snapshot.json"])
            except (StopIteration, *WRONG) as error:
                print(f"{path} cannot be read: {error!r}", file=sys.stderr)
                continue
            head["format"] == 1 or sys.exit(f"{path} has a newer format")
            replaced.add(f"{head['no']:08}-{head.get('replaces')}{self.suffix}")
            self.heads.setdefault(head["no"], []).append((head, path))
        for no, found in self.heads.items():
            self.heads[no], = [pair for pair in found if pair[1].name not in replaced]
    @functools.cached_property
    def places(self):
        """Object name -> (pack, offset of its segment, entry name)."""
        return {name[2:]: (pack, offset, name) for pack in sorted(self.folder.glob("packs/??/*" + self.suffix))
                for offset, tar in members(pack) for name, _ in entries(tar)}
    @functools.lru_cache(maxsize=64)
    def segment(self, pack, offset):
        return dict(entries(next(members(pack, offset))[1]))
    def object(self, name):
        """The bytes of an object; a message that was taken apart is joined."""
        pack, offset, entry = self.places[name]
        content = self.segment(pack, offset)[entry]
        if entry.startswith("m/"):
            content = content[65:] + self.join(self.object(content[:64].decode()))  # the skeleton's name, a line end, the trace
        hashlib.sha256(content).hexdigest() == name or sys.exit(f"object {name} in {pack} is damaged")
        return content
    def join(self, skeleton):
        head, literals = skeleton.split(b"\n\n", 1)
        magic, *pieces = head.decode().split("\n")
        magic == "wagon-skeleton 1" or sys.exit(f"a skeleton of another version: {magic!r}")
        out = []
        for kind, *words in (piece.split(" ") for piece in pieces):
            if kind == "L":
                out, literals = out + [literals[:int(words[0])]], literals[int(words[0]):]
            elif kind == "R":
                out.append(self.object(words[0]))
            else:
                text = base64.b64encode(self.object(words[0]))
                width, end = (int(words[2]), {"n": b"\n", "rn": b"\r\n"}[words[3]]) if len(words) > 2 else (len(text), b"")
                out.append(end.join(text[at:at + width] for at in range(0, len(text), width)))
        return b"".join(out)
    def chain(self, number):
        """Snapshots with their files, from the oldest ancestor to this one."""
        found = [self.heads[number]]
        while found[-1][0].get("parent"):
            found[-1][0]["parent"] < found[-1][0]["no"] or sys.exit(f"snapshot {found[-1][0]['no']} has a parent that is not older")
            found.append(self.heads[found[-1][0]["parent"]])
        return found[::-1]
    def lines(self, number, entry):
        """(kind, value) of the JSON lines of an entry, through all snapshots from the last full one up to this one."""
        found = []
        for head, path in self.chain(number):
            if entry in (f"accounts/{account['id']}.jsonl" for account in head["accounts"] if account.get("full")):
                found = []
            texts = (text for _, tar in members(path) for name, text in entries(tar) if name == entry)
            found += [pair for text in texts for line in text.splitlines() if line for pair in json.loads(line).items()]
        return found
    def accounts(self, number):
        records = {}
        for kind, value in (line for line in self.lines(number, "provisioning.jsonl") if line[0] != "last"):
            records[value["id"] if kind == "put" else value] = value["record"] if kind == "put" else {"kind": "gone"}
        return {r["address"]: i for i, r in records.items() if r["kind"] == "account"}
    def mailbox(self, number, account):
        """(folders by id, items by id) of an account."""
        folders, items = {}, {}
        for kind, value in self.lines(number, f"accounts/{account}.jsonl"):
            if kind in ("folder", "item"):
                (folders if kind == "folder" else items)[value["i"]] = value
            elif kind == "change":
                items[value["i"]].update(value)
            elif kind in ("item-gone", "folder-gone"):
                (items if kind == "item-gone" else folders).pop(value)
        return folders, {i: item for i, item in items.items() if item["f"] in folders}
def utf7(name):
    """Modified UTF-7 (RFC 9051, appendix A.1), with a look-alike in place of the dot that separates levels on disk."""
    wide = lambda m: "&" + base64.b64encode(m[0].encode("utf-16-be"), b"+,").decode().rstrip("=") + "-"
    return re.sub(r"[^ -~]+", wide, name.replace("&", "&-").replace(".", "\u2024"))
def restore(archive, number, address, folder):
    folders, items = archive.mailbox(number, archive.accounts(number)[address])
    known = collections.defaultdict(list)
    for item in items.values():
        kind, path, name = folders[item["f"]].get("kind", "mail"), folders[item["f"]]["path"], item["n"]
        ("/" in name or {name, *path.split("/")} & {"", ".", ".."} or not re.fullmatch("[a-z]+", kind)) and sys.exit(f"no name for a file: {path!r} {name!r}")
        into = folder / kind / path
        if kind == "mail":
            into = folder / "Maildir" / ("" if path == "INBOX" else "".join("." + utf7(x) for x in path.split("/"))) / "cur"
            known[into.parent] += [word for word in item.get("k", []) if word not in known[into.parent]]
            letters = dict(zip(known[into.parent], "abcdefghijklmnopqrstuvwxyz"))
            name += ":2," + item.get("fl", "") + "".join(sorted(letters.get(word, "") for word in item.get("k", [])))
        into.mkdir(parents=True, exist_ok=True)
        (into / name).write_bytes(archive.object(item["o"]))
        os.utime(into / name, (item["d"], item["d"]))
    for where, words in known.items():
        [(where / sub).mkdir(exist_ok=True) for sub in ("new", "tmp")]
        (where / "dovecot-keywords").write_text("".join(f"{n} {word}\n" for n, word in enumerate(words[:26])))
def main(folder, number=None, address=None, out=None):
    archive = Archive(folder)
    number = max(archive.heads) if number == "latest" else number and int(number)
    if address:
        restore(archive, number, address, pathlib.Path(out))
    elif number:
        print("\n".join(f"{i:6}  {a}" for a, i in sorted(archive.accounts(number).items())))
    for no, (head, _) in archive.heads.items() if number is None else ():
        print(f"{no:8}  {time.strftime('%F %T', time.gmtime(head['started']))}  {head['source']}  {head.get('label', '')}")

if __name__ == "__main__":
    try:
        main(*sys.argv[1:]) if 2 <= len(sys.argv) <= 5 and len(sys.argv) != 4 else sys.exit(__doc__)
    except WRONG as error:
        sys.exit(f"not as format-spec says: {error!r}")
