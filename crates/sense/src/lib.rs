//! How we ask: probe state machines and packet codecs. Pure: no clock, no socket.
