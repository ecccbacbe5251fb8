"""Runs one command and writes down what it cost. A process of its own, because the kernel counts the memory of whoever
starts a program as that program's peak: here about 10 MiB, the least that can be seen.

    python3 -I -S measure.py RESULT COMMAND [ARGUMENT ...]

RESULT gets: exit status, seconds, user + system seconds, peak resident memory in KiB, of the command and all that it
waited for.
"""
import os
import sys
import time

started = time.monotonic()
child = os.spawnvp(os.P_NOWAIT, sys.argv[2], sys.argv[2:])
_, status, usage = os.wait4(child, 0)
seconds = time.monotonic() - started
with open(sys.argv[1], "w") as result:
    print(os.waitstatus_to_exitcode(status), seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, file=result)
