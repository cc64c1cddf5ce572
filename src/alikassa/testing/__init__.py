"""For the tests of those who ask: a sandbox that refuses what production refuses."""
