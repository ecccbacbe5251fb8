"""The programs that are measured: how each does a step, and what that cost.

An engine has a folder of its own below WORK: `state` (repository and caches), `before` (a copy of `state` from before the
day of change), `out` (what it gave back), `log`.
"""
import collections
import filecmp
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

STEPS = ("first", "unchanged", "day", "check", "one message", "everything", "second import")

Cost = collections.namedtuple("Cost", "wall cpu peak")


def measure(argv, log, env=None, cwd=None):
    """Runs a command to its end: exit status, and its cost in seconds, seconds and MiB."""
    result = Path(f"{log}.cost")
    runner = [sys.executable, "-I", "-S", str(Path(__file__).parent / "measure.py"), str(result)]
    os.sync()  # nobody pays for what the one before has left to be written
    with open(log, "ab") as out:
        subprocess.run(runner + list(map(str, argv)), env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                       check=True)
    status, wall, cpu, peak = result.read_text().split()
    return int(status), Cost(float(wall), float(cpu), int(peak) / 1024)


def files_below(root):
    """Regular files, relative, as a set."""
    found = set()
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path):
                found.add(os.path.relpath(path, root))
    return found


def tree_bytes(root):
    return sum(os.path.getsize(os.path.join(root, path)) for path in files_below(root))


class Engine:
    """One program. `fine` are the exit statuses after which its work counts."""

    fine = (0,)

    def __init__(self, name, work, site, message, version, env=None):
        self.name, self.site, self.message = name, site, message
        self.env = {**os.environ, **(env or {})}
        self.version = subprocess.run(version, capture_output=True, text=True, check=True).stdout.split("\n")[0].split(" compiled")[0]
        self.costs = {step: [] for step in STEPS}
        self.bytes, self.faults = {}, []
        self.dir = work / name
        self.state, self.out = self.dir / "state", self.dir / "out"
        self.repo = self.state / "repo"

    def fresh(self):
        shutil.rmtree(self.dir, ignore_errors=True)
        self.state.mkdir(parents=True)

    def check(self):
        """Reads everything that the program has stored and compares it with its hashes."""
        self.timed("check", self.prove)

    def keep(self):
        """Remembers the state of now, so that the next step can be done again."""
        shutil.copytree(self.state, self.dir / "before", symlinks=True)

    def go_back(self):
        shutil.rmtree(self.state)
        shutil.copytree(self.dir / "before", self.state, symlinks=True)

    def timed(self, step, argv, cwd=None):
        status, cost = measure(argv, self.dir / "log", self.env, cwd)
        if status not in self.fine:
            raise SystemExit(f"{self.name}, {step}: exit status {status}, see {self.dir / 'log'}")
        if status:
            self.fault(f"{step}: exit status {status}")
        self.costs[step].append(cost)
        print(f"{step:14} {self.name:7} {cost.wall:8.2f} s  CPU {cost.cpu:8.2f} s  {cost.peak:6.0f} MiB", file=sys.stderr)

    def fault(self, text):
        if text not in self.faults:
            self.faults.append(text)

    def empty_out(self):
        """An empty folder to restore into. What was restored before is put aside and removed when nothing is measured any
        more: for minutes after many files were removed, ext4 looks for inodes that were not among them, which made the
        next restore take up to three times as long."""
        if self.out.exists():
            self.out.rename(self.dir / f"restored-{len(list(self.dir.glob('restored-*')))}")
        self.out.mkdir()

    def weigh(self, step):
        self.bytes[step] = tree_bytes(self.repo)

    def median(self, step):
        """The median of each figure, or None where the step was not run."""
        runs = self.costs[step]
        return Cost(*map(statistics.median, zip(*runs))) if runs else None


class Wagon(Engine):
    fine = (0, 3)  # 3: done, but some items could not be taken; that is then said beside the table

    def __init__(self, path, work, site, message):
        cache = {"WAGON_CACHE_DIR": str(work / "wagon" / "state" / "cache")}
        super().__init__("wagon", work, site, message, [path, "--version"], cache)
        self.path = path
        self.prove = self.verb("check", "--read-data")

    def verb(self, verb, *arguments):
        return [self.path, "-q", verb, "--archive", str(self.repo), *arguments]

    def backup(self, step):
        self.timed(step, self.verb("export", "--from", str(self.site)))
        self.weigh(step)

    def restore_one(self):
        _, domain, user, *_ = self.message.parts
        item = f"{user}@{domain}:INBOX/{self.message.name.split(':2,')[0]}"
        self.empty_out()
        self.timed("one message", self.verb("extract", item, "--output", str(self.out / "one")))
        if not filecmp.cmp(self.out / "one", self.site / self.message, shallow=False):
            self.fault("one message came back changed")

    def restore_all(self):
        self.empty_out()
        new = str(self.out / "site")
        self.timed("everything", self.verb("import", "--to", new))
        self.timed("second import", self.verb("import", "--to", new))
        if subprocess.run(self.verb("verify", "--to", new), env=self.env, stdout=subprocess.DEVNULL).returncode:
            self.fault("verify found differences")
        # verify is wagon's own word, so the messages are counted here, by content.
        lost = messages(self.site) - messages(new)
        more = messages(new) - messages(self.site)
        if lost or more:
            self.fault(f"{lost.total()} messages did not come back, {more.total()} came that were not there")


def messages(root):
    """How often each message content occurs below mail/."""
    count = collections.Counter()
    for folder, _, names in os.walk(Path(root) / "mail"):
        if os.path.basename(folder) in ("cur", "new") and "Maildir" in Path(folder).parts:
            for name in names:
                if not name.startswith("."):
                    count[hashlib.sha256(Path(folder, name).read_bytes()).digest()] += 1
    return count


class Rival(Engine):
    """A program that keeps trees of files."""

    init, save, one, everything = [], [], [], []

    def backup(self, step):
        if not self.repo.exists():
            subprocess.run(self.init, env=self.env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.timed(step, self.save)
        self.weigh(step)

    def restore_one(self):
        self.empty_out()
        self.timed("one message", self.one, cwd=self.out)
        want = (self.site / self.message).read_bytes()
        if not any(path.is_file() and path.read_bytes() == want for path in self.out.rglob("*")):
            self.fault("one message came back changed")

    def restore_all(self):
        self.empty_out()
        self.timed("everything", self.everything, cwd=self.out)
        copy = self.out / "site" if (self.out / "site").is_dir() else Path(f"{self.out}{self.site}")
        ours, theirs = files_below(self.site), files_below(copy)
        differ = sum(not filecmp.cmp(self.site / path, copy / path, shallow=False) for path in ours & theirs)
        if differ or ours != theirs:
            self.fault(f"{differ} files differ, {len(ours ^ theirs)} are on one side only")


def restic(work, site, message):
    state = work / "restic" / "state"
    engine = Rival("restic", work, site, message, ["restic", "version"], {
        "RESTIC_PASSWORD": "bench", "RESTIC_REPOSITORY": str(state / "repo"), "RESTIC_CACHE_DIR": str(state / "cache")})
    engine.init = ["restic", "init", "--repository-version", "2"]
    engine.save = ["restic", "backup", "-q", str(site)]
    engine.prove = ["restic", "check", "-q", "--read-data"]
    engine.one = ["restic", "restore", "latest", "-i", str(site / message), "-t", str(engine.out)]
    engine.everything = ["restic", "restore", "latest", "-t", str(engine.out)]
    return engine


def borg(work, site, message):
    state = work / "borg" / "state"
    engine = Rival("borg", work, site, message, ["borg", "--version"], {
        "BORG_REPO": str(state / "repo"), "BORG_BASE_DIR": str(state / "base"),
        "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"})
    engine.init = ["borg", "init", "-e", "none"]
    engine.save = ["sh", "-c", 'exec borg create -C zstd,3 "::at-$(date +%s%N)" "$0"', str(site)]
    engine.prove = ["borg", "check", "--verify-data"]
    last = 'exec borg extract "::$(borg list --last 1 --short)" "$@"'
    engine.one = ["sh", "-c", last, "sh", str(site / message).lstrip("/")]
    engine.everything = ["sh", "-c", last, "sh"]
    return engine


def rustic(work, site, message):
    state = work / "rustic" / "state"
    engine = Rival("rustic", work, site, message, ["rustic", "--version"], {
        "RUSTIC_PASSWORD": "bench", "RUSTIC_REPOSITORY": str(state / "repo"), "RUSTIC_CACHE_DIR": str(state / "cache"),
        "RUSTIC_NO_PROGRESS": "true", "RUSTIC_LOG_LEVEL": "error"})
    engine.init = ["rustic", "init"]
    engine.save = ["rustic", "backup", str(site)]
    engine.prove = ["rustic", "check", "--read-data"]
    engine.one = ["rustic", "restore", f"latest:{site / message}", str(engine.out / "one")]
    engine.everything = ["rustic", "restore", f"latest:{site}", str(engine.out / "site")]
    return engine


RIVALS = {"restic": restic, "borg": borg, "rustic": rustic}
