"""One thin file a stage: load its settings, call one function, write the declared outputs."""
