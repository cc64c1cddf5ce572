"""Profiles: the accounts somebody asks for, by name, with how to reach each."""

from alikassa.profiles.holding import hold_profiles
from alikassa.profiles.model import Profile
from alikassa.profiles.store import Profiles, default_path, load_profiles, save_profiles

__all__ = ["Profile", "Profiles", "default_path", "hold_profiles", "load_profiles", "save_profiles"]
