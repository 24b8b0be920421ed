"""A shim's signals as bytes, so that one place waits for everything."""

import os
import signal

from roadstead.shim.requests import WAKE


def listen_for_signals() -> int:
    """Turn SIGTERM, SIGCHLD and requests into bytes, and return the descriptor from which they are read."""
    signals, wakeup = os.pipe()
    os.set_blocking(signals, False)
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, WAKE):
        signal.signal(number, lambda *_: None)
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # whoever started us held `WAKE` back until here
    return signals
