//! Frames of the live protocol `chat.v1.json`.
