# SPDX-License-Identifier: GPL-2.0-only
"""What ci/bench/trace.c wrote down, by row and call."""
import array
import bisect
import collections
import subprocess

OTHER, CLI, STI, RETURN, LOCKED, LOAD, STORE, MARK, USER = range(9)
END, BEGIN, ROW = range(3)
KERNEL = 1 << 63
ADDRESS = KERNEL | (1 << 48) - 1
# Where the CPU arrives with interrupts off, in the kernel too.
ENTRIES = ("asm_sysvec_", "asm_exc_", "asm_common_interrupt", "irq_entries_start")


class Symbols:
    """Which function an address of the kernel is in."""

    def __init__(self, nm, vmlinux):
        lines = subprocess.run([nm, "-n", "--demangle", vmlinux], check=True, text=True, stdout=subprocess.PIPE).stdout
        rows = [line.split(None, 2) for line in lines.splitlines()]
        text = [(int(row[0], 16) & ADDRESS, row[2]) for row in rows if len(row) == 3 and row[1] in "tTwW"]
        self.starts, self.names = zip(*text)
        self.cache = {}

    def at(self, address):
        """Its name, and whether it begins there."""
        found = self.cache.get(address)
        if not found:
            index = bisect.bisect_right(self.starts, address) - 1
            start = self.starts[index]
            first = bisect.bisect_left(self.starts, start)  # of several names
            found = self.cache[address] = (self.names[first], address == start)
        return found


class Cpu:
    """What a CPU did in a call."""

    def __init__(self):
        self.user = self.kernel = 0
        self.in_kernel = None
        self.irq_off = False
        self.stretch = self.longest = 0

    def run_user(self, count):
        self.user += count
        self.in_kernel = self.irq_off = False
        self.stretch = 0

    def run_kernel(self, kind, is_entry):
        self.kernel += 1
        # System calls and interrupts turn interrupts off.
        if is_entry or self.in_kernel is False:
            self.irq_off = True
        self.in_kernel = True
        if self.irq_off:
            self.stretch += 1
            self.longest = max(self.longest, self.stretch)
        else:
            self.stretch = 0
        if kind == CLI:
            self.irq_off = True
        elif kind in (STI, RETURN):
            self.irq_off = False


class Call:
    """What was between two marks."""

    def __init__(self):
        self.cpus = collections.defaultdict(Cpu)
        self.functions = collections.Counter()  # instructions, by CPU and function
        self.calls = collections.Counter()      # of a function
        self.locked = 0                         # atomic instructions
        self.lines = collections.defaultdict(lambda: [0, set(), set()])  # accesses, CPUs that read, and that write

    def total(self):
        """Of the caller, and of what the kernel did on other CPUs."""
        caller = self.cpus[0]
        return caller.user + caller.kernel + sum(cpu.kernel for n, cpu in self.cpus.items() if n)

    def kernel(self):
        return sum(cpu.kernel for cpu in self.cpus.values())

    def shared_accesses(self):
        """Accesses to cache lines that several CPUs use, and one writes to."""
        return sum(n for n, readers, writers in self.lines.values() if writers and len(readers | writers) > 1)


def read(path, symbols):
    """Lists of calls, a list for each row."""
    records = array.array("Q")
    with open(path, "rb") as trace:
        records.frombytes(trace.read())
    rows, call = [], None
    for record in records:
        kind, number, address = record >> 52 & 15, record >> 48 & 15, record & ADDRESS
        if kind == MARK:
            if address == ROW:
                rows.append([])
            elif address == BEGIN:
                call = Call()
                rows[-1].append(call)
            continue
        if kind == USER:
            call.cpus[number].run_user(address)
            call.functions[number, "(user space)"] += address
        elif kind in (LOAD, STORE):
            line = call.lines[address >> 6]
            line[0] += 1
            line[1 if kind == LOAD else 2].add(number)
        else:
            name, begins = symbols.at(address)
            call.cpus[number].run_kernel(kind, begins and name.startswith(ENTRIES))
            call.functions[number, name] += 1
            call.calls[name] += begins
            call.locked += kind == LOCKED
    return rows
