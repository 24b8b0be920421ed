"""The node agent of one replica: a small process that keeps one server running and outlives the daemon.

Only the standard library may be imported here, and little of it: one such process runs per replica (about 11 MB), and
it is started with ``-I -S``, so that no installed package can reach it. The daemon's side imports this package too,
for the records that both sides read and write (`spec`, `state`, `files`, `requests`, `cgroup`, `identity`).

`backoff`, `spec` and `state` are pure; the others touch the machine and decide nothing.
"""
