//! The pure core: what to do next for one grant, given what was observed.
