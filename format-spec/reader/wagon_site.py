"""Writes what an archive of wagon holds as a directory site, for Dovecot, Postfix and vdir programs: the layout that
docs/connectors.md describes. Standard library alone. Called by wagon_restore.py.

What a Maildir or a passwd-file cannot hold is changed in the way that page says, or reported; nothing is written outside of
the folder, whatever an archive says."""
import base64, collections, hashlib, json, os, re, sqlite3, uuid

ORDINARY_USES = {"Drafts": "drafts", "Sent": "sent", "Junk": "junk", "Trash": "trash", "Archive": "archive"}
ENDINGS = {"calendars": ".ics", "tasks": ".ics", "contacts": ".vcf"}
LETTERS = "abcdefghijklmnopqrstuvwxyz"

# site.sqlite; each table means what its name says in docs/connectors.md.
SCHEMA = """
PRAGMA application_id = 0x57475374;
PRAGMA user_version = 1;
CREATE TABLE site (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL) STRICT;
CREATE TABLE record (kind TEXT NOT NULL, key TEXT NOT NULL, id TEXT NOT NULL UNIQUE, PRIMARY KEY (kind, key)) STRICT, WITHOUT ROWID;
CREATE TABLE settings (name TEXT PRIMARY KEY, attributes TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE domain (name TEXT PRIMARY KEY, attributes TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE cos (name TEXT PRIMARY KEY, quota_bytes INTEGER, attributes TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE account (address TEXT PRIMARY KEY, class TEXT NOT NULL, status TEXT NOT NULL, cos TEXT, name TEXT, groups TEXT NOT NULL,
    attributes TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE address (address TEXT PRIMARY KEY, kind TEXT NOT NULL, mapped INTEGER NOT NULL, name TEXT, owners TEXT NOT NULL,
    attributes TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE setting (account TEXT NOT NULL REFERENCES account (address) ON UPDATE CASCADE ON DELETE CASCADE, kind TEXT NOT NULL,
    key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (account, kind, key)) STRICT, WITHOUT ROWID;
CREATE TABLE folder (account TEXT NOT NULL REFERENCES account (address) ON UPDATE CASCADE ON DELETE CASCADE, kind TEXT NOT NULL,
    path TEXT NOT NULL, special_use TEXT, subscribed INTEGER, title TEXT, color TEXT,
    PRIMARY KEY (account, kind, path)) STRICT, WITHOUT ROWID;
CREATE TABLE folder_grant (account TEXT NOT NULL, kind TEXT NOT NULL, path TEXT NOT NULL, grantee TEXT NOT NULL, who TEXT NOT NULL,
    negative INTEGER NOT NULL, rights TEXT NOT NULL, PRIMARY KEY (account, kind, path, grantee, who, negative),
    FOREIGN KEY (account, kind, path) REFERENCES folder (account, kind, path) ON UPDATE CASCADE ON DELETE CASCADE) STRICT, WITHOUT ROWID;
CREATE TABLE item_label (account TEXT NOT NULL, kind TEXT NOT NULL, path TEXT NOT NULL, name TEXT NOT NULL, label TEXT NOT NULL,
    value TEXT NOT NULL, PRIMARY KEY (account, kind, path, name, label, value),
    FOREIGN KEY (account, kind, path) REFERENCES folder (account, kind, path) ON UPDATE CASCADE ON DELETE CASCADE) STRICT, WITHOUT ROWID;
"""


class Refused(Exception):
    """A directory site has no place for this."""


def refuse_if(bad, why):
    if bad:
        raise Refused(why)


def has_control(text):
    return any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text)


class Site:
    def __init__(self, root, say):
        self.root, self.say = root, say
        root.mkdir(parents=True, exist_ok=True)
        refuse_if(any(root.iterdir()), f"{root} is not empty")
        self.db = sqlite3.connect(root / "site.sqlite")
        os.chmod(root / "site.sqlite", 0o600)
        self.db.executescript(SCHEMA)
        self.db.execute("INSERT INTO site VALUES (1, ?)", (uuid.uuid4().hex[:16],))
        self.passwd, self.domains, self.aliases, self.shared = {}, set(), {}, set()

    def finish(self):
        """Writes etc/ and closes site.sqlite."""
        caught = {key[1:] for key in self.aliases if key.startswith("@")}
        for address in self.passwd:  # a catch-all takes the mail of accounts that have no line of their own
            if address.rpartition("@")[2] in caught:
                self.aliases.setdefault(address, [address])
        text = lambda pairs: "".join(f"{key}\t{value}\n" for key, value in sorted(pairs))
        self.write("etc/virtual_domains", text((name, "OK") for name in self.domains), 0o644)
        self.write("etc/virtual_alias", text((key, ", ".join(targets)) for key, targets in self.aliases.items()), 0o644)
        self.write("etc/virtual_mailbox", text((address, "OK") for address in self.passwd), 0o644)
        self.write("etc/passwd", "".join(f"{line}\n" for _, line in sorted(self.passwd.items())), 0o640)
        self.write("etc/acl/shared-mailboxes", "".join(f"{key}\n1\n" for key in sorted(self.shared)), 0o600)
        self.db.commit()
        self.db.close()

    def write(self, path, text, mode):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        put(path, text.encode(), mode)

    def insert(self, table, *values):
        marks = ", ".join("?" * len(values))
        self.db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", values)

    # Records

    def record(self, record):
        """Takes a record; `Refused` where the site has no place for it."""
        kind = record["kind"]
        attributes = dict(sorted(record.get("attributes", {}).items()))
        if kind == "settings":
            return  # kept for reference, never restored (snapshot.md)
        if kind == "cos":
            self.insert("cos", record["name"], record.get("quota_bytes"), compact(attributes))
        elif kind == "domain":
            self.domain(record, attributes)
        elif kind == "account":
            self.account(record, attributes)
        elif kind in ("list", "alias"):
            self.address(record, attributes)
        else:
            raise Refused(f"records of kind {kind!r} are unknown")
        key = record["address"] if kind in ("account", "list", "alias") else record["name"]
        self.insert("record", kind, key, uuid.uuid4().hex)

    def domain(self, record, attributes):
        home("x@" + record["name"])
        targets = ["@" + record["alias_of"]] if "alias_of" in record else record.get("catch_all", [])
        for address in [record["name"], *targets]:
            check_address(address)
        self.domains.add(record["name"])
        if targets:
            self.aliases["@" + record["name"]] = targets
        self.insert("domain", record["name"], compact(attributes))

    def address(self, record, attributes):
        is_list = record["kind"] == "list"
        targets = record.get("members" if is_list else "targets", [])
        for address in [record["address"], *targets, *record.get("owners", [])]:
            check_address(address)
        refuse_if(not is_list and not targets, "an alias without a target has no place")
        if targets:
            self.aliases[record["address"]] = targets
        self.insert("address", record["address"], record["kind"], int(bool(targets)), record.get("name"),
                    compact(record.get("owners", [])), compact(attributes))

    def account(self, record, attributes):
        address, name, groups = record["address"], record.get("name"), record.get("groups", [])
        where = self.root / "mail" / home(address)
        columns = [attributes.get("passwd." + key, "") for key in ("uid", "gid", "home", "shell")]
        limits = attributes.get("passwd.quota_limits", "")
        refuse_if(re.search(r"[:\n\r\0]", record.get("password", "") + "".join(columns)), "passwd holds no such column")
        refuse_if(address.startswith("#") or not one_field(limits), "passwd holds no such name or limit")
        holds_name = name and not has_control(name) and ":" not in name
        holds_group = lambda group: group and "," not in group and one_field(group)
        extra = []
        if "quota_bytes" in record:
            extra.append(f"userdb_quota_rule=*:storage={storage(record['quota_bytes'])}" + (f":{limits}" if limits else ""))
        if any(map(holds_group, groups)):
            extra.append("userdb_acl_groups=" + ",".join(filter(holds_group, groups)))
        if record.get("status", "active") != "active":
            extra.append("nologin")
        # What has a place of its own in the record is said there.
        said = r"userdb_acl_groups=|nologin(=y|=yes)?$" + ("|userdb_quota_rule=" if "quota_bytes" in record else "")
        for field in re.findall(r"(?:\\.|[^\\ ]|\\$)+", attributes.get("passwd.extra", "")):
            if not has_control(field) and not re.match(said, field):
                extra.append(field)
        uid, gid, house, shell = columns
        self.passwd[address] = ":".join((re.sub(r"(['\"\\])", r"\\\1", address), record.get("password", ""), uid, gid,
                                         name if holds_name else "", house, shell, " ".join(extra)))
        own = {key: value for key, value in attributes.items() if not key.startswith("passwd.")}
        self.insert("account", address, record.get("class", "user"), record.get("status", "active"), record.get("cos"),
                    None if holds_name else name, compact([group for group in groups if not holds_group(group)]), compact(own))
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_maildir(where / "Maildir")

    # Mailboxes

    def mailbox(self, address, folders, items, settings, pieces_of):
        """Writes a mailbox; `pieces_of(item)` gives the bytes of an item."""
        below, subscribed = Mailbox(self, address), set()
        places = {}
        for number, folder in sorted(folders.items()):
            try:
                places[number] = place = below.folder(folder)
                if folder.get("subscribed") and place.kind == "mail":
                    subscribed.add(place.path)
            except (Refused, OSError) as why:
                self.say(f"{address}: {folder['path']}: {why}")
        for number, item in sorted(items.items()):
            if item["f"] in places:
                try:
                    places[item["f"]].take(item, pieces_of)
                except (Refused, OSError) as why:
                    self.say(f"{address}: {folders[item['f']]['path']}/{item['n']}: {why}")
        for place in places.values():
            place.finish()
        for (kind, name), setting in sorted(settings.items()):
            if kind == "subscription":
                subscribed.add(name)
            else:
                self.insert("setting", address, kind, name, compact(setting))
        if subscribed:
            lines = "".join("\t".join(map(utf7, path.split("/"))) + "\n" for path in sorted(subscribed))
            put(below.maildir / "subscriptions", b"V\t2\n\n" + lines.encode(), 0o600)


class Mailbox:
    """One account's folders on disk, and the names that its messages have: one set for the account, so that a message can
    be moved under its name."""

    def __init__(self, site, address):
        self.site, self.address = site, address
        self.home = site.root / "mail" / home(address)
        self.maildir, self.dav = self.home / "Maildir", site.root / "dav" / home(address)
        self.taken, self.names = set(), collections.defaultdict(set)

    def folder(self, folder):
        kind, path = folder.get("kind", "mail"), folder["path"]
        if kind == "mail":
            path = holdable(path)
            where = self.maildir / "".join("." + utf7(level) for level in path.split("/")) if path != "INBOX" else self.maildir
        elif kind == "filters":
            path, where = "sieve", self.home / "sieve"
        elif kind in ("calendars", "contacts", "tasks", "files"):
            path = "/".join(map(collection_level, path.split("/")))
            where = self.dav.joinpath(kind, *map(on_disk, path.split("/")))
        else:
            raise Refused(f"folders of kind {kind!r} are unknown")
        refuse_if((kind, path) in self.taken, f"two folders would be {path}")
        self.taken.add((kind, path))
        return Folder(self, folder, kind, path, where)


class Folder:
    def __init__(self, mailbox, folder, kind, path, where):
        self.mailbox, self.record, self.kind, self.path, self.where = mailbox, folder, kind, path, where
        self.names = mailbox.names["mail" if kind == "mail" else (kind, path)]
        self.keywords, self.uids, self.labels = [], [], []
        if kind == "mail":
            make_maildir(where)
            if path != "INBOX":
                put(where / "maildirfolder", b"", 0o600)
        else:
            where.mkdir(mode=0o700, parents=True, exist_ok=True)
        if kind in ENDINGS:
            files = {"displayname": "title"} | {name: name for name in ("color", "description", "order", "components")}
            for file, key in files.items():
                if (value := folder.get(key)) is not None:
                    put(where / file, value.strip().encode() + b"\n", 0o600)
        if kind == "filters" and "active" in folder:
            refuse_if(not may_be_a_file(kind, folder["active"]), "no script can be called so")
            os.symlink(f"sieve/{folder['active']}.sieve", mailbox.home / ".dovecot.sieve")

    def take(self, item, pieces_of):
        """Writes an item's file, complete or not at all."""
        name, words = self.name_for(item["n"]), item.get("k", [])
        file = name
        if self.kind == "mail":
            letters = [self.letter(word) for word in words]
            words = [word for word, letter in zip(words, letters) if not letter]
            file = f"{name}:2,{item.get('fl', '')}{''.join(sorted(filter(None, letters)))}"
        elif self.kind == "filters":
            file += ".sieve"
        path = self.where / "cur" / file if self.kind == "mail" else self.where / file
        temporary = self.mailbox.site.root / ".wagon-item"
        try:
            with open(temporary, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as out:
                for piece in pieces_of(item):
                    out.write(piece)
            os.utime(temporary, (item["d"], item["d"]))
            os.rename(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        if "u" in item:
            self.uids.append((item["u"], item.get("p", ""), name))
        self.labels += [(name, "tag", tag) for tag in item.get("t", [])] + [(name, "keyword", word) for word in words]

    def name_for(self, wanted):
        name = wanted
        if not may_be_a_file(self.kind, wanted):
            digest = hashlib.sha256(wanted.encode()).hexdigest()[:20]
            name = f"0.{digest}.wagon" if self.kind == "mail" else f"wagon-{digest}{ENDINGS.get(self.kind, '')}"
        cut = name.find(",") if self.kind == "mail" else -1 if self.kind == "filters" else name.rfind(".")
        stem, rest, count = (name[:cut], name[cut:], 0) if cut >= 0 else (name, "", 0)
        while name in self.names:
            count += 1
            name = f"{stem}-w{count}{rest}"
        self.names.add(name)
        return name

    def letter(self, word):
        known = [keyword.lower() for keyword in self.keywords]
        if word.lower() in known:
            return LETTERS[known.index(word.lower())]
        if len(known) == len(LETTERS) or not word or has_control(word) or " " in word:
            return None
        self.keywords.append(word)
        return LETTERS[len(known)]

    def finish(self):
        """Writes what a folder has beside its items."""
        site, address, record = self.mailbox.site, self.mailbox.address, self.record
        use, titles, subscribed = record.get("special"), (record.get("title"), record.get("color")), None
        if self.kind == "mail":
            usual = ORDINARY_USES.get(self.path)
            use = None if use == usual else use or ""
            self.uid_list()
        else:
            titles = (None, None) if self.kind in ENDINGS else titles
            subscribed = 1 if record.get("subscribed") else None
        grants = record.get("grants", [])
        beside = [grant for grant in grants if self.kind != "mail" or not acl_name(grant)]
        if grants and self.kind == "mail":
            lines = "".join(acl_line(grant) for grant in grants if acl_name(grant))
            if lines:
                put(self.where / "dovecot-acl", lines.encode(), 0o600)
            site.shared.update(filter(None, (shared_key(address, grant) for grant in grants)))
        if (use, subscribed, *titles) != (None,) * 4 or beside or self.labels:
            site.insert("folder", address, self.kind, self.path, use, subscribed, *titles)
        for grant in beside:
            site.insert("folder_grant", address, self.kind, self.path, grant["to"], grant.get("who", ""),
                        int(grant.get("negative", False)), grant["rights"])
        for name, label, value in self.labels:
            site.insert("item_label", address, self.kind, self.path, name, label, value)

    def uid_list(self):
        if self.keywords:
            put(self.where / "dovecot-keywords", "".join(f"{n} {k}\n" for n, k in enumerate(self.keywords)).encode(), 0o600)
        if "uidvalidity" not in self.record:
            return
        self.uids.sort()
        beyond = max([self.record.get("uidnext", 1), *(uid + 1 for uid, _, _ in self.uids)])
        guid = self.record.get("guid", "")
        head = f"3 V{self.record['uidvalidity']} N{beyond}" + (f" G{guid}" if re.fullmatch("[0-9a-fA-F]{32}", guid) else "")
        lines = [f"{uid} {f'P{uidl} ' if re.fullmatch('[!-~]{1,70}', uidl) else ''}:{name}" for uid, uidl, name in self.uids]
        put(self.where / "dovecot-uidlist", "".join(f"{line}\n" for line in (head, *lines)).encode(), 0o600)


def put(path, content, mode):
    with open(path, "wb", opener=lambda path, flags: os.open(path, flags, mode)) as out:
        out.write(content)


def make_maildir(where):
    where.mkdir(mode=0o700, parents=True, exist_ok=True)
    for sub in ("tmp", "new", "cur"):
        (where / sub).mkdir(mode=0o700, exist_ok=True)


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def home(address):
    """DOMAIN/USER, for an address that can be an account."""
    user, at, domain = address.rpartition("@")
    for part in (user, domain):
        refuse_if(not 0 < len(part.encode()) <= 255 or part.startswith(".") or has_control(part) or re.search(r"[/:\s]", part),
                  f"{address} has no place in the tree")
    return os.path.join(on_disk(domain), on_disk(user))


def on_disk(name):
    """A name whose odd bytes are shown as \\xNN, as those bytes: only where it is not UTF-8 with them."""
    odd = re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes.fromhex(m[1].decode()), name.encode())
    try:
        odd.decode()
        return name
    except UnicodeDecodeError:
        return name if b"\0" in odd else os.fsdecode(odd)


def check_address(address):
    bare = "".join(address.split('"')[::2])
    refuse_if(not address or address.startswith("#") or has_control(address) or re.search(r"[, ]", bare)
              or address.count('"') % 2 or re.search(r"\s", address), f"an alias map has no place for {address!r}")


def one_field(text):
    return not has_control(text) and not re.search(r"[ \\]", text)


def storage(size):
    for unit, factor in (("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("k", 1 << 10)):
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return f"{size}B"


def utf7(level):
    """Modified UTF-7 (RFC 9051, appendix A.1)."""
    wide = lambda m: "&" + base64.b64encode(m[0].encode("utf-16-be"), b"+,").decode().rstrip("=") + "-"
    return re.sub(r"[^ -~]+", wide, level.replace("&", "&-"))


def holdable(path):
    """The path, or one that a Maildir++ can hold in its place."""
    new = path.replace(".", "\u2024")
    new = "/".join("\uff5e" + level[1:] if level.startswith("~") else level for level in new.split("/"))
    if path != "INBOX" and path.upper() == "INBOX":
        new += "_"
    length = lambda text: sum(1 + len(utf7(level)) for level in text.split("/"))
    if length(new) > 255:
        mark = hashlib.sha256(path.encode()).hexdigest()[:12]
        cuts = (new[:end].rstrip("/ ") + " " + mark for end in range(len(new) - 1, -1, -1))
        new = next((cut for cut in cuts if length(cut) <= 255 and not cut.startswith(" ")), mark)
    return new


def collection_level(level):
    shown = "\u2024" + level[1:] if level.startswith(".") else level
    if shown in ("displayname", "color", "description", "order", "components", "lost+found"):
        return shown + "_"
    if len(shown.encode()) <= 255:
        return shown
    mark = hashlib.sha256(level.encode()).hexdigest()[:12]
    end = len(shown)
    while len(shown[:end].encode()) + 1 + len(mark) > 255:
        end -= 1
    return f"{shown[:end]} {mark}"


def may_be_a_file(kind, name):
    if not 0 < len(name.encode()) <= 200 or "/" in name or has_control(name):
        return False
    if kind == "mail":
        return name[0] not in ". " and ":" not in name
    if kind == "files":
        return name not in (".", "..") and not name.startswith(".wagon-")
    ending = ENDINGS.get(kind, "")
    return not name.startswith(".") and (kind == "filters" or len(name) > len(ending) and name.lower().endswith(ending))


def acl_name(grant):
    """What dovecot-acl calls a grantee; nothing where it has no word."""
    who = grant.get("who", "")
    if grant["to"] in ("user", "group"):
        return f"{grant['to']}={who}" if who and not has_control(who) else None
    return {"owner": "owner", "everyone": "authenticated", "public": "anonymous"}.get(grant["to"])


def acl_line(grant):
    name, sign = acl_name(grant), "-" if grant.get("negative") else ""
    if re.search(r'[ "\\]', name):
        return '"{}{}" {}\n'.format(sign, name.replace("\\", "\\\\").replace('"', '\\"'), grant["rights"])
    return f"{sign}{name} {grant['rights']}\n"


def shared_key(owner, grant):
    """The line by which Dovecot lists a shared folder to its grantee."""
    who, plain = grant.get("who", ""), lambda text: text and "/" not in text and not has_control(text)
    if grant.get("negative") or "l" not in grant["rights"] or not plain(owner):
        return None
    if grant["to"] == "user" and plain(who) and who != owner or grant["to"] == "group" and plain(who):
        return f"shared/shared-boxes/{grant['to']}/{who}/{owner}"
    return f"shared/shared-boxes/anyone/{owner}" if grant["to"] in ("everyone", "public") else None
