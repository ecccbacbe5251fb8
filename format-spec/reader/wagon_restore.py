#!/usr/bin/env python3
"""Checks archives of wagon, lists what they hold, and restores whole sites: by the specification alone, standard library.

    wagon_restore.py check ARCHIVE                       reads every byte; names what is wrong, and what that costs
    wagon_restore.py mend ARCHIVE OUT                    what is damaged or gone, and has parity that makes up for it, in the new
                                                         folder OUT under its name; nothing in ARCHIVE changes, and no key is needed
    wagon_restore.py list ARCHIVE                        the snapshots
    wagon_restore.py list ARCHIVE SNAPSHOT               the records, and what the pass could not take
    wagon_restore.py list ARCHIVE SNAPSHOT ADDRESS       the folders, items and settings of an account
    wagon_restore.py restore ARCHIVE SNAPSHOT SITE       everything, as a directory site in the new folder SITE

SNAPSHOT is a number, or "latest". Before the verb may stand
    --trust KEY    refuses an archive unless each of its snapshots is signed by this key, or another that is given so: a public
                   key of minisign (RW...), or the name of its file
    --parity       `check` computes parity anew, too: some ten seconds for each pack of 32 MiB
What is encrypted is read with the program `age` and the identity that WAGON_IDENTITY names; without that `age` asks for the
passphrase of the archive, once. Ends with status 1 when something was wrong or could not be restored; all else is done then all
the same."""
import collections, getopt, hashlib, json, pathlib, re, sys, time
import wagon_mend
from wagon_archive import Archive, Damaged, NAME, shown
from wagon_parity import Lost
from wagon_read import WRONG
from wagon_signature import Distrusted, public_key
from wagon_site import Refused, Site


def check(archive, deep):
    """Compares all names, lengths, indexes, tables, counts, references, and files with their parity."""
    say, recipes = archive.complain, set()
    protected = wagon_mend.check(archive.folder, say, deep)
    for pack in archive.packs():
        if digest(pack) != pack.name[:64] or pack.parent.name != pack.name[:2]:
            say(f"{pack}: its bytes are not those of its name")
        seen = check_entries(archive, pack)
        try:
            segments, objects = archive.index(pack)
            if segments != seen.segments:
                say(f"{pack}: the index has other segments than the pack")
            listed = {prefix: (place.member, place.block) for prefix, place in objects}
            if listed != {name: at for name, at in seen.objects.items() if name in listed}:
                say(f"{pack}: the index has other objects than the pack")
            recipes |= {name for name in seen.recipes if bytes.fromhex(name)[:20] in listed}
            for prefix in seen.objects.keys() - listed.keys():  # a repair leaves out what cannot be joined
                print(f"{pack}: object {prefix.hex()}… is in no index")
        except (Damaged, OSError) as error:
            print(f"{pack}: {error}; an index can be made again")  # derived: nothing is lost with it
            recipes |= seen.recipes
    good = {}
    for number, (head, path) in sorted(archive.heads.items()):
        if digest(path)[:16] != path.name[9:25]:
            say(f"{path}: its bytes are not those of its name")
        try:
            names = {"provisioning.jsonl", "rejected.jsonl"} | {f"accounts/{entry['id']}.jsonl" for entry in head["accounts"]}
            first = None
            for name in archive.contents(path):
                try:
                    content = hashlib.sha256(archive.entry(path, name)).digest()  # of two that are long neither is kept
                    first = content if name == "provisioning.jsonl" else first
                    if name == "provisioning-again.jsonl" and first not in (None, content):
                        say(f"{path}: its copies of the records differ")
                except Damaged as error:
                    say(f"{path}: {name}: {error}")
                if name.startswith("accounts/") and name not in names:
                    say(f"{path}: {name} is of no account of the head")
            records = archive.records(number)
        except Damaged as error:
            say(f"{path}: {error}")
            continue
        for entry in head["accounts"]:
            try:
                folders, items, _ = archive.mailbox(number, entry["id"])
            except Damaged as error:
                say(f"snapshot {number}: {entry['address']}: {error}")
                continue
            if records.get(entry["id"], {}).get("address") != entry["address"]:
                say(f"{path}: account {entry['id']} is not called {entry['address']}")
            for item in items.values():
                where = f"snapshot {number}: {entry['address']}: {folders[item['f']]['path']}/{item['n']}"
                trouble = sized(archive, item, good)
                if trouble:
                    say(f"{where}: {trouble}")
    read = {path for _, path in archive.heads.values()}
    for path in sorted(set(archive.folder.glob("snapshots/[0-9]*" + archive.suffix)) - read):  # replaced, or without a head
        try:
            archive.contents(path)
        except (Damaged, *WRONG) as error:
            say(f"{path}: {error}")
    for name in recipes - good.keys():  # those that no item of a readable snapshot needs
        try:
            archive.sound(name, 0, None)
        except Damaged as error:
            say(str(error))
    print(f"{len(good)} items of {len(archive.heads)} snapshots read, {protected} files with parity, {len(archive.complaints)} complaints")


def sized(archive, item, good):
    """What is wrong with an item's object; each is read once."""
    if item["o"] not in good:
        try:
            collections.deque(archive.sized(item["o"], item["s"], 0), maxlen=0)
            good[item["o"]] = None
        except Damaged as error:
            good[item["o"]] = str(error)
    return good[item["o"]]


class Seen:
    def __init__(self):
        self.objects, self.recipes, self.segments = {}, set(), []


def check_entries(archive, pack):
    """Compares every object that is stored as it is with its name, and notes the recipes."""
    seen = Seen()

    def see(_, start, name, size, block, pieces):
        match = NAME.match(name)
        if not match:
            archive.complain(f"{pack}: {name!r} is no name of an object")
            return
        content = hashlib.sha256()
        for piece in pieces:
            content.update(piece)
        if name.startswith("o/") and content.hexdigest() != match[1]:
            archive.complain(f"{pack}: object {match[1]} is damaged")
        if name.startswith("m/"):
            seen.recipes.add(match[1])
        if bytes.fromhex(match[1])[:20] in seen.objects:
            archive.complain(f"{pack}: object {match[1]} occurs twice")
        seen.objects[bytes.fromhex(match[1])[:20]] = (start, block)

    seen.segments = archive.scan(pack, see)
    return seen


def digest(path):
    found = hashlib.sha256()
    with open(path, "rb") as file:  # names are of the files as they are, encrypted or not
        while data := file.read(1 << 20):
            found.update(data)
    return found.hexdigest()


def list_snapshots(archive):
    for number, (head, _) in sorted(archive.heads.items()):
        when = time.strftime("%F %T", time.gmtime(head["started"]))
        notes = [f"after {head['parent']}" if "parent" in head else "stands alone"]
        notes += [f"lost {', '.join(map(str, head['lost']))}"] if head.get("lost") else []
        notes += [f"replaces {head['replaces']}"] if "replaces" in head else []
        notes += [f"{sum(bool(a.get('salvaged')) for a in head['accounts'])} accounts salvaged"] if head.get("lost") else []
        print(number, when, head["source"], f"{len(head['accounts'])} accounts changed", *notes, shown(head.get("label", "")), sep="\t")


def list_snapshot(archive, number):
    for identity, record in sorted(archive.records(number).items()):
        print(identity, json.dumps(hidden(record)), sep="\t")
    for rejection in archive.rejected(number):
        print("rejected", json.dumps(rejection), sep="\t")


def list_account(archive, number, address):
    folders, items, settings = archive.mailbox(number, account_of(archive, number, address))
    for kind, things in (("folder", folders), ("item", items)):
        for _, thing in sorted(things.items()):
            print(kind, json.dumps(thing), sep="\t")
    for _, setting in sorted(settings.items()):
        print("setting", json.dumps(hidden(setting)), sep="\t")


def hidden(record):
    """Without passwords."""
    return {key: "(hidden)" if key == "password" else value for key, value in record.items()}


def account_of(archive, number, address):
    for identity, record in archive.records(number).items():
        if record["kind"] == "account" and record["address"] == address:
            return identity
    sys.exit(f"snapshot {number} has no account {address}")


def restore(archive, number, folder):
    site = Site(pathlib.Path(folder), archive.complain)
    accounts = []
    for identity, record in sorted(archive.records(number).items()):
        try:
            site.record(record)
            accounts += [(identity, record["address"])] if record["kind"] == "account" else []
        except (Refused, KeyError, TypeError) as why:
            archive.complain(f"{record.get('address', record.get('name'))}: {why}")
    count = 0

    def pieces_of(item):
        try:
            yield from archive.sized(item["o"], item["s"], 0)
        except Damaged as error:
            raise Refused(str(error)) from error

    for identity, address in accounts:
        try:
            mailbox = archive.mailbox(number, identity)
        except Damaged as error:
            archive.complain(f"{address}: {error}")
            continue
        site.mailbox(address, *mailbox, pieces_of)
        count += len(mailbox[1])
    site.finish()
    for rejection in archive.rejected(number):
        print("not in the archive:", json.dumps(rejection))
    print(f"{len(accounts)} accounts and {count} items, {len(archive.complaints)} complaints")


def main(options, verb, folder, number=None, what=None):
    if verb == "mend" and number is not None and what is None and not options:
        sys.exit(0 if wagon_mend.mend(folder, number) else 1)
    archive = Archive(folder, [public_key(word) for option, word in options if option == "--trust"])
    if number is not None:
        if number == "latest":
            number = max(archive.heads, default=0)
        elif re.fullmatch("[0-9]+", number):
            number = int(number)
        if number not in archive.heads:
            sys.exit(f"{folder} has no snapshot {number} that can be read")
    if verb == "check" and number is None:
        check(archive, ("--parity", "") in options)
    elif verb == "list" and number is None:
        list_snapshots(archive)
    elif verb == "list":
        list_snapshot(archive, number) if what is None else list_account(archive, number, what)
    elif verb == "restore" and what is not None:
        restore(archive, number, what)
    else:
        sys.exit(__doc__)
    sys.exit(1 if archive.complaints else 0)


if __name__ == "__main__":
    try:
        options, words = getopt.getopt(sys.argv[1:], "", ["trust=", "parity"])
        main(options, *words) if 2 <= len(words) <= 4 else sys.exit(__doc__)
    except getopt.GetoptError:
        sys.exit(__doc__)
    except (Damaged, Distrusted, Lost, Refused) as error:
        sys.exit(shown(str(error)))
    except WRONG as error:  # a value of another type, a field that is missing, nesting without end
        sys.exit(f"not as format-spec says: {error!r}")
