"""Loaded by schemathesis: what stands for "binary" where a picture is expected; its own bytes would all be refused."""

import schemathesis
from hypothesis import strategies as st

from helpers.hostile_bodies import jpeg, png, turned

schemathesis.openapi.media_type("image/jpeg", st.sampled_from([jpeg(), turned(6)]))
schemathesis.openapi.media_type("image/png", st.just(png()))
