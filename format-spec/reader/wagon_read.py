#!/usr/bin/env python3
"""Reads an archive of wagon by its specification alone: standard library, no index, no line of wagon's own code.

    wagon_read.py ARCHIVE                          lists the snapshots
    wagon_read.py ARCHIVE SNAPSHOT                 lists the accounts at a snapshot (its number, or "latest")
    wagon_read.py ARCHIVE SNAPSHOT ADDRESS FOLDER  restores an account into FOLDER: mail as FOLDER/Maildir (Maildir++),
                                                   everything else as FOLDER/KIND/PATH/NAME

Every object is compared with its name. See archive.md, pack.md, message.md, snapshot.md.
"""
import base64, collections, functools, hashlib, io, json, os, pathlib, re, sys, tarfile, time, zlib

def members(path):
    """(offset, inflated bytes) of each gzip member of a file."""
    data, at = path.read_bytes(), 0
    while at < len(data):
        inflater = zlib.decompressobj(31)
        yield at, inflater.decompress(data[at:])
        at = len(data) - len(inflater.unused_data)

def entries(tar):
    """(name, bytes) of each entry in whole tar entries, with or without the end mark."""
    opened = tarfile.open(fileobj=io.BytesIO(tar + bytes(1024)))
    yield from ((entry.name, opened.extractfile(entry).read()) for entry in opened)

class Archive:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        header = json.loads((self.folder / "wagon.json").read_text())
        assert header["archive"] == "wagon" and header["format"] == 1, "not an archive that this script reads"
        self.heads, replaced = {}, set()
        for path in sorted((self.folder / "snapshots").glob("[0-9]*.tar.gz")):
            name, head = next(entries(next(members(path))[1]))
            assert name == "snapshot.json", path
            head = json.loads(head)
            replaced.add(f"{head['no']:08}-{head.get('replaces')}.tar.gz")
            self.heads.setdefault(head["no"], []).append((head, path))
        for no, found in self.heads.items():
            self.heads[no], = [pair for pair in found if pair[1].name not in replaced]
    @functools.cached_property
    def places(self):
        """Object name -> (pack, offset of its segment, entry name)."""
        found = {}
        for pack in sorted(self.folder.glob("packs/??/*.tar.gz")):
            for offset, tar in members(pack):
                found.update({name[2:]: (pack, offset, name) for name, _ in entries(tar)})
        return found
    @functools.lru_cache(maxsize=64)
    def segment(self, pack, offset):
        return dict(entries(zlib.decompressobj(31).decompress(pack.read_bytes()[offset:])))
    def object(self, name):
        """The bytes of an object; a message that was taken apart is joined."""
        pack, offset, entry = self.places[name]
        content = self.segment(pack, offset)[entry]
        if entry.startswith("m/"):
            skeleton, trace = content.split(b"\n", 1)
            content = trace + self.join(self.object(skeleton.decode()))
        assert hashlib.sha256(content).hexdigest() == name, f"object {name} in {pack} is damaged"
        return content
    def join(self, skeleton):
        head, literals = skeleton.split(b"\n\n", 1)
        magic, *pieces = head.decode().split("\n")
        assert magic == "wagon-skeleton 1", magic
        out = []
        for piece in pieces:
            kind, *words = piece.split(" ")
            if kind == "L":
                out, literals = out + [literals[:int(words[0])]], literals[int(words[0]):]
            elif kind == "R":
                out.append(self.object(words[0]))
            elif kind == "B":
                text = base64.b64encode(self.object(words[0]))
                width, end = (int(words[2]), {"n": b"\n", "rn": b"\r\n"}[words[3]]) if len(words) > 2 else (len(text), b"")
                out.append(end.join(text[at:at + width] for at in range(0, len(text), width)))
            else:
                sys.exit(f"unknown piece {piece!r}")
        return b"".join(out)
    def chain(self, number):
        """Snapshot files from the oldest ancestor to this one."""
        head, path = self.heads[number]
        return (self.chain(head["parent"]) if head.get("parent") else []) + [(head, path)]
    def lines(self, number, entry):
        """The JSON lines of an entry, through all snapshots up to this one."""
        for head, path in self.chain(number):
            for name, content in (pair for _, tar in members(path) for pair in entries(tar)):
                if name == entry:
                    full = any(a.get("full") and entry == f"accounts/{a['id']}.jsonl" for a in head["accounts"])
                    yield from ([{"full": True}] if full else []) + [json.loads(x) for x in content.splitlines() if x]
    def accounts(self, number):
        records = {}
        for line in self.lines(number, "provisioning.jsonl"):
            kind, value = next(iter(line.items()))
            if kind == "last":
                continue
            records[value["id"] if kind == "put" else value] = value["record"] if kind == "put" else {"kind": "gone"}
        return {r["address"]: i for i, r in records.items() if r["kind"] == "account"}
    def mailbox(self, number, account):
        """(folders by id, items by id) of an account."""
        folders, items = {}, {}
        for line in self.lines(number, f"accounts/{account}.jsonl"):
            kind, value = next(iter(line.items()))
            if kind == "full":
                folders, items = {}, {}
            elif kind in ("folder", "item"):
                (folders if kind == "folder" else items)[value["i"]] = value
            elif kind == "change":
                items[value["i"]].update(value)
            elif kind == "item-gone":
                del items[value]
            elif kind == "folder-gone":
                folders.pop(value)
                items = {i: item for i, item in items.items() if item["f"] != value}
        return folders, items

def utf7(name):
    """Modified UTF-7 (RFC 9051, appendix A.1)."""
    wide = lambda m: "&" + base64.b64encode(m[0].encode("utf-16-be")).decode().rstrip("=").replace("/", ",") + "-"
    return re.sub(r"[^ -~]+", wide, name.replace("&", "&-"))

def restore(archive, number, address, folder):
    folders, items = archive.mailbox(number, archive.accounts(number)[address])
    keywords = collections.defaultdict(list)
    for item in items.values():
        place, name = folders[item["f"]], item["n"]
        kind, path = place.get("kind", "mail"), place["path"]
        if kind == "mail":
            levels = [utf7(level).replace(".", "&AC4-") for level in path.split("/")]
            into = folder / "Maildir" / ("" if path == "INBOX" else "." + ".".join(levels)) / "cur"
            known = keywords[into.parent]
            known += [k for k in item.get("k", []) if k not in known]
            name += ":2," + item.get("fl", "") + "".join(sorted(chr(97 + known.index(k)) for k in item.get("k", [])))[:26]
        else:
            into = folder / kind / path
        into.mkdir(parents=True, exist_ok=True)
        (into / name).write_bytes(archive.object(item["o"]))
        os.utime(into / name, (item["d"], item["d"]))
    for where, known in keywords.items():
        [(where / sub).mkdir(exist_ok=True) for sub in ("new", "tmp")]
        (where / "dovecot-keywords").write_text("".join(f"{n} {k}\n" for n, k in enumerate(known[:26])))
    print(f"{len(items)} items restored")

def main(folder, number=None, address=None, out=None):
    archive = Archive(folder)
    number = max(archive.heads) if number == "latest" else number and int(number)
    if address:
        restore(archive, number, address, pathlib.Path(out))
    elif number:
        print("\n".join(f"{i:6}  {a}" for a, i in sorted(archive.accounts(number).items())))
    for no, (head, _) in archive.heads.items() if number is None else ():
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(head["started"]))
        print(f"{no:8}  {when}  {head['source']}  {len(head['accounts'])} accounts changed  {head.get('label', '')}")

if __name__ == "__main__":
    main(*sys.argv[1:]) if 2 <= len(sys.argv) <= 5 and len(sys.argv) != 4 else sys.exit(__doc__)
