"""The agent of one server: a small process that keeps it running, bounds its log, and outlives the daemon.

Only the standard library may be imported here, and little of it: one such process runs for each server (about 11 MB),
and it is started with ``-I -S``, so that no installed package can reach it. The daemon's side
(:mod:`roadstead.spi.shims`) imports this package too, for the records that both sides read and write (`spec`, `state`,
`files`, `requests`, `cgroup`, `identity`).

`backoff`, `spec` and `state` are pure; the others touch the machine and decide nothing.
"""
