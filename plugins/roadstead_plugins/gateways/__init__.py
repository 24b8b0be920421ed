"""Gateways: the data path in front of the replicas, one package per proxy.

A gateway turns the table of deployments and endpoints into its proxy's configuration, and reads back what the proxy
accepted and sees. It keeps serving when the daemon is gone.
"""
