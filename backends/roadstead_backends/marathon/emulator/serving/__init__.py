"""The emulator as a program: a clock, sockets, real processes, and controls for faults."""
