"""Fluxtrail: where is my commit, when did it get there, and what is holding it up?"""

__version__ = "0.1.0"
