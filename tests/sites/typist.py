"""typist.py PATTERN COUNT ANSWER... COMMAND...
Runs a command on a terminal of its own and types one answer after the other, whenever it shows PATTERN once more."""
import os, pty, re, sys
pattern, count = sys.argv[1].encode(), int(sys.argv[2])
answers, command = sys.argv[3:3 + count], sys.argv[3 + count:]
child, terminal = pty.fork()
if child == 0:
    os.execvp(command[0], command)
said, asked = b"", 0
while True:
    try:
        piece = os.read(terminal, 1024)
    except OSError:
        break
    if not piece:
        break
    said += piece
    if len(re.findall(pattern, said)) > asked and asked < count:
        os.write(terminal, answers[asked].encode() + b"\n")
        asked += 1
print(said.decode(), f"asked {asked} times")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
