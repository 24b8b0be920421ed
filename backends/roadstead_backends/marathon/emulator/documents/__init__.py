"""JSON documents as Marathon reads and writes them: text, readers with its errors, types of apps, pods and groups.

What belongs here: what its RAML and its code generator decide. What does not: rules between fields (``rules``).
"""
